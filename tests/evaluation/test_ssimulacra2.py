from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.evaluation.plain_jpeg import PlainJpeg
from tests.pictures import opened, saved, scene
from virtual_codec.comparison import compare
from virtual_codec.evaluation import EvaluateConfig, evaluate
from virtual_codec.ssimulacra2 import MISSING, is_available, ssimulacra2

needs_package = pytest.mark.skipif(not is_available(), reason="the extra `ssimulacra2` is not installed")


def config(folder: Path, *, wanted: bool, resume: bool = False) -> EvaluateConfig:
    data = folder / "data" / "set"
    data.mkdir(parents=True, exist_ok=True)
    (data / "scene.png").write_bytes(saved(scene(72, 88)))
    return EvaluateConfig(
        data_dir=data.parent,
        out_dir=folder / "out",
        qualities=(10, 50, 90),
        anchors=("jpeg",),
        foreign_qualities=(50,),
        cache_dir=folder / "cache",
        ssimulacra2=wanted,
        resume=resume,
    )


def measured(folder: Path) -> list[str]:
    with (folder / "out" / "points.csv").open() as file:
        return [row["ssimulacra2"] for row in csv.DictReader(file)]


def cached(folder: Path) -> list[dict[str, float]]:
    (file,) = (folder / "cache").rglob("*.json")
    return list(json.loads(file.read_text()).values())


@needs_package
def test_equal_pictures_have_a_hundred_and_worse_ones_less() -> None:
    picture = scene(72, 88)
    marks = [ssimulacra2(picture, opened(saved(picture, "JPEG", quality=quality))) for quality in (5, 30, 90)]
    assert marks == sorted(marks, key=lambda mark: mark or 0)
    assert ssimulacra2(picture, picture) == pytest.approx(100)
    assert ssimulacra2(picture[..., 0], picture[..., 0]) == pytest.approx(100)
    assert ssimulacra2(picture[:7], picture[:7]) is None


@needs_package
def test_it_comes_into_figures_and_report_and_completes_what_is_cached(tmp_path: Path) -> None:
    evaluate(PlainJpeg(), config(tmp_path, wanted=False))
    assert set(measured(tmp_path)) == {""}
    assert "SSIMULACRA2" not in (tmp_path / "out" / "results.md").read_text()
    summary = evaluate(PlainJpeg(), config(tmp_path, wanted=True, resume=True))
    assert all(float(mark) <= 100 for mark in measured(tmp_path))
    assert "SSIMULACRA2" in (tmp_path / "out" / "results.md").read_text()
    assert {row.metric for row in summary.bd_rates} >= {"ms_ssim", "ssimulacra2"}
    complete = cached(tmp_path)
    evaluate(PlainJpeg(), config(tmp_path, wanted=True))
    assert cached(tmp_path) == complete
    evaluate(PlainJpeg(), config(tmp_path, wanted=False))
    assert cached(tmp_path) == complete
    assert set(measured(tmp_path)) == {""}


@pytest.mark.skipif(is_available(), reason="the extra `ssimulacra2` is installed")
def test_without_its_package_the_report_says_so(tmp_path: Path) -> None:
    summary = evaluate(PlainJpeg(), config(tmp_path, wanted=True))
    assert MISSING in summary.notes
    assert set(measured(tmp_path)) == {""}


@needs_package
def test_compare_has_it_where_it_is_installed() -> None:
    picture = scene(64, 64)
    assert compare(saved(picture), saved(picture)).ssimulacra2 == pytest.approx(100)


@pytest.mark.skipif(is_available(), reason="the extra `ssimulacra2` is installed")
def test_compare_does_without_it() -> None:
    assert compare(saved(scene(64, 64)), saved(scene(64, 64))).ssimulacra2 is None
