"""Options, results and jobs as plain values."""

from __future__ import annotations

import multiprocessing
import time
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtual_codec.errors import BadOption, DeadlineExceeded
from virtual_codec.jobs import (
    CompressOptions,
    CompressResult,
    Job,
    RestoreOptions,
    RestoreResult,
    check_deadline,
)
from virtual_codec.option_text import RANGES

T = TypeVar("T")


def across_a_pipe(value: T) -> T:
    """What another process would receive."""
    here, there = multiprocessing.Pipe()
    with here, there:
        here.send(value)
        received: T = there.recv()
    return received


def test_missing_values_are_the_defaults() -> None:
    options = CompressOptions.parse({})
    assert options == CompressOptions()
    assert (options.quality, options.target, options.effort, options.scale) == (None, None, 4, None)
    assert (options.codec, options.model, options.background) == ("jpeg", None, (255, 255, 255))


def test_every_option_is_read_from_text() -> None:
    common = {"effort": "9", "scale": "1", "codec": "webp", "model": "small", "background": "0aFF10", "metadata": "all"}
    assert CompressOptions.parse({"quality": "75", **common}) == CompressOptions(
        quality=75, effort=9, scale=1, codec="webp", model="small", background=(10, 255, 16), metadata="all"
    )
    assert CompressOptions.parse({"scale": "auto"}).scale is None


@pytest.mark.parametrize(
    ("text", "value"), [("max_bytes", 20_000), ("max_bpp", 0.25), ("min_psnr", 32.5), ("min_ms_ssim", 0.98)]
)
def test_a_target_is_read_from_text(text: str, value: float) -> None:
    options = CompressOptions.parse({text: str(value)})
    assert getattr(options, text) == value
    assert options.target == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quality", "0"),
        ("quality", "101"),
        ("quality", "50.0"),
        ("quality", "+5"),
        ("quality", " 5"),
        ("quality", "5_0"),
        ("quality", "٥"),
        ("quality", ""),
        ("quality", "9" * 5000),
        ("max_bytes", "0"),
        ("max_bytes", "-1"),
        ("max_bpp", "0"),
        ("max_bpp", "nan"),
        ("max_bpp", "inf"),
        ("max_bpp", "1e999"),
        ("max_bpp", "1_0"),
        ("max_bpp", " 1"),
        ("max_bpp", "0x10"),
        ("max_bpp", "."),
        ("max_bpp", "1e"),
        ("max_bpp", "9" * 5000),
        ("min_psnr", "٣٠"),
        ("min_psnr", "x"),
        ("min_psnr", "101"),
        ("min_ms_ssim", "1.01"),
        ("min_ms_ssim", "0"),
        ("effort", "10"),
        ("effort", "-1"),
        ("scale", "3"),
        ("scale", "AUTO"),
        ("codec", ""),
        ("model", ""),
        ("metadata", "gps"),
        ("background", "fff"),
        ("background", "#ffffff"),
        ("background", "gggggg"),
        ("background", "12 456"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadOption, match=name) as caught:
        CompressOptions.parse({name: value})
    assert len(caught.value.detail) < 200


def test_the_ends_of_a_range_are_in_it() -> None:
    for name, allowed in RANGES.items():
        ends = [allowed.low, allowed.high] if allowed.is_whole else [allowed.high]
        for value in ends:
            CompressOptions.parse({name: str(value)})
        for value in {allowed.low, allowed.low - 1, allowed.high + 1} - set(ends):
            with pytest.raises(BadOption, match=name):
                CompressOptions.parse({name: str(value)})


@pytest.mark.parametrize("value", ["-1", "0", "999999999999999999999999", "1.5", "1099511627777", "many"])
def test_a_refused_number_is_answered_with_the_whole_range(value: str) -> None:
    with pytest.raises(BadOption, match=r"^max_bytes must be a whole number from 1 to 1099511627776, got "):
        CompressOptions.parse({"max_bytes": value})
    for name in ("max_bpp", "min_psnr"):
        right = f"^{name} must be a number above 0 and at most {RANGES[name].high}, got "
        for wrong in ("0", "nan", "1e999", "x"):
            with pytest.raises(BadOption, match=right):
                CompressOptions.parse({name: wrong})


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("quality", "0", 1),
        ("quality", "-3", 1),
        ("quality", "101", 100),
        ("max_bytes", "9" * 30, 2**40),
        ("effort", "-1", 0),
        ("max_bpp", "0", 0),
        ("min_psnr", "-1e300", 0),
        ("min_ms_ssim", "1.25", 1),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_bound_that_it_passed(name: str, value: str, limit: int) -> None:
    with pytest.raises(BadOption, match=name) as caught:
        CompressOptions.parse({name: value})
    assert (caught.value.limit, caught.value.actual) == (limit, float(value))


@pytest.mark.parametrize(("name", "value"), [("quality", "-0"), ("effort", "-0"), ("quality", "+5"), ("min_psnr", "x")])
def test_what_is_no_number_passes_no_bound(name: str, value: str) -> None:
    with pytest.raises(BadOption, match=name) as caught:
        CompressOptions.parse({name: value})
    assert (caught.value.limit, caught.value.actual) == (None, None)


def test_a_number_that_is_none_is_in_no_range() -> None:
    with pytest.raises(BadOption, match="min_psnr"):
        CompressOptions(min_psnr=float("nan"))


def test_the_rate_of_the_smallest_pictures_may_be_asked_for() -> None:
    a_single_pixel_in_bits = 1840  # and some more with other tables
    assert RANGES["max_bpp"].high > 10 * a_single_pixel_in_bits


def test_an_unknown_option_is_answered_with_the_known() -> None:
    with pytest.raises(BadOption, match="unknown option 'qualty'; the options are quality, max_bytes"):
        CompressOptions.parse({"qualty": "50"})


def test_the_name_of_an_unknown_option_is_cut_short() -> None:
    with pytest.raises(BadOption) as refusal:
        CompressOptions.parse({"x" * 5000: "1"})
    assert "x" * 40 in refusal.value.detail
    assert "x" * 41 not in refusal.value.detail


def test_only_one_target_may_be_given() -> None:
    for other in ("max_bytes", "max_bpp", "min_psnr", "min_ms_ssim"):
        with pytest.raises(BadOption, match=f"at most one of .*; got quality and {other}"):
            CompressOptions.parse({"quality": "50", other: "1"})


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=3))
def test_no_text_raises_anything_but_a_bad_option(text: dict[str, str]) -> None:
    try:
        CompressOptions.parse(text)
    except BadOption:
        assert text


@given(st.sampled_from(["quality", "max_bytes", "max_bpp", "min_psnr", "min_ms_ssim", "effort"]), st.text(max_size=12))
def test_no_value_raises_anything_but_a_bad_option(name: str, value: str) -> None:
    try:
        CompressOptions.parse({name: value})
    except BadOption as error:
        assert name in error.detail  # noqa: PT017 - most values are no numbers, some are


def test_bits_per_pixel_count_the_whole_stream() -> None:
    result = CompressResult(
        stream=bytes(100), media_type="image/jpeg", model="0badf00d", scale=2, width=20, height=10, quality=50
    )
    assert result.rate_bpp == 4.0


def test_values_cross_process_borders() -> None:
    results = [
        CompressResult(stream=b"x", media_type="image/jpeg", model="0badf00d", scale=1, width=1, height=1, quality=1),
        RestoreResult(image=b"x", media_type="image/png", model="0badf00d", scale=1, width=1, height=1, rate_bpp=8.0),
        Job(data=b"x", options=CompressOptions(max_bpp=0.5), request_id="a", deadline=1.0),
        Job(data=b"x", options=RestoreOptions(output="webp")),
    ]
    for value in results:
        assert across_a_pipe(value) == value


def test_what_is_shown_of_a_value_has_no_picture_in_it() -> None:
    assert "secret" not in repr(Job(data=b"secret", options=RestoreOptions()))


def test_a_deadline_is_checked_against_the_monotonic_clock() -> None:
    check_deadline(None)
    check_deadline(time.monotonic() + 60)
    with pytest.raises(DeadlineExceeded, match="deadline passed"):
        check_deadline(time.monotonic() - 0.001)


@pytest.mark.parametrize("codec", ["webp", "avif", "jpeg2000"])
def test_half_size_is_for_jpeg_only(codec: str) -> None:
    assert CompressOptions.parse({"codec": codec, "scale": "1"}).scale == 1
    with pytest.raises(BadOption, match=f"codec {codec} works at scale 1 only, got 2"):
        CompressOptions.parse({"codec": codec, "scale": "2"})


def test_a_scale_given_as_a_word_is_told_what_automatic_is() -> None:
    with pytest.raises(BadOption, match=r"scale must be None \(automatic\), 1 or 2, got 'auto'"):
        CompressOptions(scale="auto")  # type: ignore[arg-type]  # wrong on purpose
