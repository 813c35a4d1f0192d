"""The plot's labels stay apart, and its file is the same for the same figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from tests.evaluation.test_curves import point
from virtual_codec.evaluation._plot import _spread_apart, plot_rate_distortion


def test_labels_that_would_touch_are_moved_apart_about_their_middle() -> None:
    assert _spread_apart([0, 10, 10, 20], 4) == [0, 8, 12, 20]
    assert _spread_apart([1, 1, 1], 2) == [-1, 1, 3]
    assert _spread_apart([0, 5], 2) == [0, 5]
    assert _spread_apart([], 2) == []


def test_the_same_figures_give_the_same_files(tmp_path: Path) -> None:
    points = [point("a", size, 20 + size / 100, 0.9 + size / 10_000) for size in (100, 200, 400)]
    files = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.png"
        plot_rate_distortion(points, ["codec"], path)
        files.append((path.read_bytes(), path.with_suffix(".svg").read_bytes()))
    assert files[0] == files[1]
    assert len(files[0][1]) < 100_000


def test_a_set_without_a_metric_is_drawn_all_the_same(tmp_path: Path) -> None:
    points = [point("a", size, 20 + size / 100) for size in (100, 200)]
    plot_rate_distortion(points, [], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_restored_codec_is_drawn_beside_itself(tmp_path: Path) -> None:
    sizes = [(100, 20.0), (200, 22.0), (400, 24.0)]
    plain = [replace(point("a", size, db), codec="avif") for size, db in sizes]
    restored = [replace(point("a", size, db + 1), codec="avif-restored") for size, db in sizes]
    webp = [replace(point("a", size, db), codec="webp-restored") for size, db in sizes]
    plot_rate_distortion([*plain, *restored, *webp], [], tmp_path / "plot.png")
    drawn = (tmp_path / "plot.svg").read_text()
    assert drawn.count("AVIF, restored") == 2  # panels that have the metric
    assert "WebP" not in drawn
