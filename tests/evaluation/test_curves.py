"""Mean curves say nothing where too few images reach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from virtual_codec.evaluation._drift import drift_rows
from virtual_codec.evaluation.curves import MIN_SHARE, compare_rates, curves, mean_curve
from virtual_codec.evaluation.points import Point


def point(image: str, size_bytes: int, psnr: float, ms_ssim: float | None = None) -> Point:
    return Point(
        set="set",
        image=image,
        codec="codec",
        setting=1,
        width=100,
        height=80,
        bytes=size_bytes,
        scale=1,
        model="",
        psnr_rgb=psnr,
        psnr_y=psnr,
        ssim=None,
        ms_ssim=ms_ssim,
        compress_s=0,
        restore_s=0,
    )


def test_the_mean_is_taken_at_equal_rates_in_log_rate() -> None:
    points = [point("a", 100, 20), point("a", 400, 30), point("b", 100, 30), point("b", 400, 40)]
    values = mean_curve(points, "psnr_rgb", [0.1, 0.2, 0.4])
    assert [round(value or 0, 6) for value in values] == [25, 30, 35]


def test_rates_that_a_tenth_of_the_images_do_not_reach_have_no_mean() -> None:
    assert MIN_SHARE == 0.9
    points = [point(name, size, 20 + size / 100) for name in "abcdefghi" for size in (100, 400)]
    points += [point("late", 200, 20), point("late", 400, 30)]
    assert None not in mean_curve(points, "psnr_rgb", [0.1, 0.4])
    points += [point("later", 200, 20), point("later", 400, 30)]
    assert [value is None for value in mean_curve(points, "psnr_rgb", [0.1, 0.3])] == [True, False]


def test_a_drawn_curve_has_no_step_where_an_image_leaves_it() -> None:
    points = [point(name, size, 20 + size / 100) for name in "abcdefghi" for size in (100, 200, 400)]
    points += [point("high", 200, 42), point("high", 400, 44)]
    plain = mean_curve(points, "psnr_rgb", [0.1, 0.2, 0.4])
    smooth = mean_curve(points, "psnr_rgb", [0.1, 0.2, 0.4], continues=True)
    assert [round(value or 0, 6) for value in plain] == [21, 24, 26]
    assert [round(value or 0, 6) for value in smooth] == [23, 24, 26]


def test_similarities_are_averaged_as_they_are() -> None:
    points = [
        point("a", 100, 20, 0.8),
        point("a", 400, 30, 0.9),
        point("b", 100, 30, 0.9),
        point("b", 400, 40, 0.98),
    ]
    first, last = mean_curve(points, "ms_ssim", [0.1, 0.4])
    assert first is not None
    assert last is not None
    assert (round(first, 6), round(last, 6)) == (0.85, 0.94)


def test_a_metric_nobody_has_gives_no_curve() -> None:
    assert curves([point("a", 100, 20)], "ms_ssim") == {}
    assert mean_curve([point("a", 100, 20)], "ms_ssim", [0.1, 0.2]) == [None, None]


def test_images_without_a_common_quality_are_counted() -> None:
    anchor = curves([point(n, size, size / 10) for n in "ab" for size in (100, 400)], "psnr_rgb")
    test = curves([point("a", 50, 10), point("a", 200, 40), point("b", 100, 90), point("b", 400, 95)], "psnr_rgb")
    found, without = compare_rates(anchor, test, 0.1, 0.4)
    assert [round(percent) for percent in found] == [-50]
    assert without == 1


def test_the_mean_colour_drift_is_a_root_mean_square_and_falls_over_the_rate() -> None:
    points = [
        replace(point(name, size, 20), colour_drift=drift)
        for name, drifts in {"a": (6.0, 3.0), "b": (8.0, 4.0)}.items()
        for size, drift in zip((100, 400), drifts, strict=True)
    ]
    first, last = mean_curve(points, "colour_drift", [0.1, 0.4])
    assert first == pytest.approx(50**0.5)
    assert last == pytest.approx(12.5**0.5)
    assert curves(points, "colour_drift")["a"].shape == (2, 2)


def test_drift_is_compared_with_avif_at_the_bytes_of_each_picture() -> None:
    reference = [
        replace(point(name, size, 20), codec="avif", colour_drift=drift)
        for name in "ab"
        for size, drift in ((100, 4.0), (400, 1.0))
    ]
    tested = [
        replace(point(name, size, 20), setting=15, colour_drift=drift)
        for name, size, drift in (("a", 100, 6.0), ("b", 200, 2.0), ("c", 200, 9.0))
    ]
    beyond = replace(point("a", 1000, 20), setting=90, colour_drift=0.1)
    grey = replace(point("b", 200, 20), setting=15)
    (row,) = drift_rows("set", "codec", [*tested, beyond, grey], reference)
    assert (row.quality, row.images) == (15, 2)
    assert row.colour_drift == pytest.approx(20**0.5)
    assert row.avif_colour_drift == pytest.approx(10**0.5)  # 4, and 2 half way in log rate
    assert row.ratio == pytest.approx(2**0.5)
