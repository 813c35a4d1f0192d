"""An evaluation measures what it says, writes its report, and goes on after an interruption."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.plain_jpeg import PlainJpeg, write_sets
from virtual_codec.errors import BadOption, BadTrainingData
from virtual_codec.evaluation import (
    EvaluateConfig,
    Summary,
    Variant,
    evaluate,
    evaluate_foreign,
    precompute_anchors,
)
from virtual_codec.evaluation._anchors import ANCHORS
from virtual_codec.jobs import CompressOptions

QUALITIES = (4, 10, 30, 50, 75, 92)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with pictures in `data` and the standard codecs' measurements in `cache`."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_sets(folder / "data")
    return folder


@pytest.fixture(scope="module")
def config(folder: Path) -> EvaluateConfig:
    return EvaluateConfig(
        data_dir=folder / "data",
        out_dir=folder / "out",
        cache_dir=folder / "cache",
        qualities=QUALITIES,
        anchors=("jpeg", "webp"),
        variants=(Variant(name="plain"),),
        foreign_qualities=(10, 90),
    )


@pytest.fixture(scope="module")
def summary(config: EvaluateConfig) -> Summary:
    return evaluate(PlainJpeg(), config)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_plain_jpeg_saves_nothing_against_jpeg(summary: Summary) -> None:
    for metric in ("psnr_rgb", "psnr_y", "ssim", "ms_ssim"):
        row = summary.bd_rate("photos", "plain", metric, 0.1, 1.0)
        assert row is not None
        assert row.percent == pytest.approx(0, abs=2)  # fewer qualities, so a slightly different curve
        assert (row.images, row.without_overlap) == (3, 0)


def test_webp_saves_against_jpeg(summary: Summary) -> None:
    row = summary.bd_rate("photos", "webp", "psnr_y", 0.1, 1.0)
    assert row is not None
    assert row.percent is not None
    assert row.percent < -20


def test_points_hold_every_picture_and_quality(summary: Summary, config: EvaluateConfig) -> None:
    rows = rows_of(config.out_dir / "points.csv")
    assert len(rows) == 4 * len(QUALITIES)
    assert {(row["set"], row["image"]) for row in rows} == {
        *(("photos", "astronaut"), ("photos", "cat"), ("photos", "grey"), ("small", "face"))
    }
    for row in rows:
        pixels = int(row["width"]) * int(row["height"])
        assert float(row["bpp"]) == pytest.approx(8 * int(row["bytes"]) / pixels, rel=1e-5)
        assert (row["codec"], row["model"]) == ("plain", "0badcafe")


def test_a_picture_too_small_for_ms_ssim_has_none(summary: Summary, config: EvaluateConfig) -> None:
    rows = rows_of(config.out_dir / "points.csv")
    assert {row["set"] for row in rows if not row["ms_ssim"]} == {"small"}
    row = summary.bd_rate("small", "plain", "ms_ssim", 0.1, 1.0)
    assert row is not None
    assert (row.percent, row.images) == (None, 0)


def test_a_grey_picture_saved_as_colour_is_measured_as_grey(summary: Summary, config: EvaluateConfig) -> None:
    rows = [row for row in rows_of(config.out_dir / "points.csv") if row["image"] == "grey"]
    assert all(row["psnr_rgb"] == row["psnr_y"] for row in rows)
    assert {row["kind"] for row in rows_of(config.out_dir / "foreign.csv") if row["image"] == "grey"} == {"grey"}


def test_each_quality_is_held_against_jpeg_of_that_quality(summary: Summary) -> None:
    rows = {row.quality: row for row in summary.qualities if row.set == "photos"}
    assert sorted(rows) == list(QUALITIES)
    for row in rows.values():
        assert row.psnr_rgb == pytest.approx(row.jpeg_psnr_rgb, abs=1e-4)
        assert row.byte_ratio == pytest.approx(1)
        assert row.gain_at_equal_bytes == pytest.approx(0, abs=1e-3)
    promises = {quality: row.promise for quality, row in rows.items()}
    assert promises == {4: None, 10: False, 30: False, 50: False, 75: True, 92: True}
    assert rows[10].scales == {"2": 1.0}
    assert rows[75].scales == {"1": 1.0}


def test_foreign_jpegs_are_counted_by_kind_and_quality(summary: Summary) -> None:
    rows = {(row.set, row.kind, row.quality): row for row in summary.foreign}
    assert rows["photos", "colour", 10].images == 2
    assert rows["photos", "grey", 90].images == 3
    for row in rows.values():
        assert row.psnr_rgb == row.jpeg_psnr_rgb
        assert (row.worst_gain, row.worse) == (0, 0)


def test_a_codec_that_spoils_foreign_jpegs_is_found_out(config: EvaluateConfig, tmp_path: Path) -> None:
    rows = evaluate_foreign(PlainJpeg(blur=2), replace(config, out_dir=tmp_path, foreign_kinds=("grey",)))
    assert all(row.worst_gain < 0 and row.worse == 1 for row in rows if row.quality == 90)


def test_grey_is_the_luma_of_published_tables(config: EvaluateConfig, tmp_path: Path) -> None:
    config = replace(config, out_dir=tmp_path, foreign_kinds=("grey", "luma", "colour444"))
    rows = {(row.set, row.kind, row.quality): row for row in evaluate_foreign(PlainJpeg(), config)}
    # A smaller range leaves smaller errors, in the decibels of a peak of 255 that the tables are in.
    assert rows["small", "grey", 10].psnr_rgb > rows["small", "luma", 10].psnr_rgb + 0.3
    assert rows["photos", "luma", 10].images == rows["photos", "colour444", 10].images == 2


def test_the_report_is_whole(summary: Summary, config: EvaluateConfig) -> None:
    found = json.loads((config.out_dir / "summary.json").read_text())
    assert found["models"] == ["0badcafe"]
    assert [row["images"] for row in found["sets"]] == [3, 1]
    text = (config.out_dir / "results.md").read_text()
    assert "| photos | WebP |" in text
    assert "**broken**" in text
    with Image.open(config.out_dir / "rate_distortion.png") as plot:
        assert plot.width > plot.height > 400


def test_the_standard_codecs_are_measured_once(summary: Summary, config: EvaluateConfig, tmp_path: Path) -> None:
    assert config.cache_dir is not None
    files = {path: path.stat().st_mtime_ns for path in config.cache_dir.rglob("*.json")}
    assert len(files) == 8  # four pictures, two codecs
    again = evaluate(PlainJpeg(), replace(config, out_dir=tmp_path, foreign_kinds=()))
    assert {path: path.stat().st_mtime_ns for path in config.cache_dir.rglob("*.json")} == files
    assert again.bd_rates == summary.bd_rates


def test_a_cache_from_before_the_colour_drift_is_completed(config: EvaluateConfig, tmp_path: Path) -> None:
    pictures = replace(config, cache_dir=tmp_path, anchors=("jpeg",), pictures_per_set=1)
    precompute_anchors(pictures)
    files = sorted(tmp_path.rglob("*.json"))
    whole = [json.loads(path.read_text()) for path in files]
    for path, measured in zip(files, whole, strict=True):
        path.write_text(json.dumps({s: {**m, "ssimulacra2": 50.0, "colour_drift": None} for s, m in measured.items()}))
    precompute_anchors(pictures)
    assert all(m["colour_drift"] is None for path in files for m in json.loads(path.read_text()).values())
    for path, measured in zip(files, whole, strict=True):
        older = {s: {k: v for k, v in m.items() if k != "colour_drift"} for s, m in measured.items()}
        path.write_text(json.dumps({s: {**m, "ssimulacra2": 50.0} for s, m in older.items()}))
    precompute_anchors(pictures)
    for path, measured in zip(files, whole, strict=True):
        again = json.loads(path.read_text())
        assert all(
            again[s]["colour_drift"] == m["colour_drift"] and again[s]["ssimulacra2"] == 50 for s, m in measured.items()
        )


def test_colour_drift_is_measured_and_set_beside_that_of_avif(config: EvaluateConfig, tmp_path: Path) -> None:
    if not ANCHORS["avif"].is_available():
        pytest.skip("this Pillow has no AVIF")
    few = replace(config, out_dir=tmp_path, anchors=("avif",), qualities=(10, 30), pictures_per_set=1, foreign_kinds=())
    summary = evaluate(PlainJpeg(), few)
    rows = {(row.set, row.quality): row for row in summary.drifts}
    assert rows["photos", 30].images == 1
    assert rows["photos", 10].ratio > rows["photos", 30].ratio * 0.5 > 0
    assert rows["photos", 10].colour_drift > rows["photos", 30].colour_drift
    columns = {row["colour_drift"] for row in rows_of(tmp_path / "points.csv")}
    assert all(float(value) > 0 for value in columns)
    assert "## Colour drift against AVIF at equal bytes" in (tmp_path / "results.md").read_text()


def test_grey_pictures_have_no_colour_drift(summary: Summary, config: EvaluateConfig) -> None:
    rows = rows_of(config.out_dir / "points.csv")
    assert {row["image"] for row in rows if not row["colour_drift"]} == {"grey"}
    assert summary.drifts == ()  # without AVIF among the anchors


def test_a_standard_codec_stands_beside_its_restored_form(config: EvaluateConfig, tmp_path: Path) -> None:
    few = replace(config, out_dir=tmp_path, qualities=(10, 50), foreign_kinds=(), restored=("webp",))
    summary = evaluate(PlainJpeg(blur=1.5), few)
    for metric in ("psnr_rgb", "ms_ssim"):
        plain, restored = (summary.bd_rate("photos", name, metric, 0.1, 1.0) for name in ("webp", "webp-restored"))
        assert plain is not None
        assert restored is not None
        assert restored.percent is not None
        assert plain.percent is not None
        assert restored.percent > plain.percent + 5  # this codec spoils what it restores
    assert summary.models == ("0badcafe",)
    assert "WebP, restored: the same files after post-processing by 0badcafe." in summary.notes
    assert "| photos | WebP, restored |" in (tmp_path / "results.md").read_text()
    rows = rows_of(tmp_path / "restored.csv")
    assert len(rows) == 4 * len(ANCHORS["webp"].settings)
    plain_bytes = {p["bytes"] for p in _cached(few, "webp")}
    assert {int(row["bytes"]) for row in rows} == plain_bytes
    codec = PlainJpeg(blur=1.5)
    evaluate(codec, replace(few, resume=True))
    assert codec.restored == 1  # to see which model it has
    with pytest.raises(
        BadOption, match=r"restored\.csv was measured with model 0badcafe; the present model is 11111111"
    ):
        evaluate(PlainJpeg(model="11111111"), replace(few, variants=(Variant(name="other"),), resume=True))


def test_rows_of_alternatives_are_resumed(config: EvaluateConfig, tmp_path: Path) -> None:
    few = replace(config, out_dir=tmp_path, qualities=(30,), foreign_kinds=(), anchors=())
    evaluate(PlainJpeg(model="11111111"), few)
    codec = PlainJpeg()
    with pytest.raises(BadOption, match=r"points\.csv was measured with model 11111111"):
        evaluate(codec, replace(few, resume=True))
    with pytest.raises(BadOption, match=r"measured with model 11111111; the present model is 0badcafe"):
        evaluate(codec, replace(few, resume=True, alternatives={"22222222": ["11111111"]}))
    evaluate(codec, replace(few, resume=True, alternatives={"0badcafe": ["11111111"]}))
    assert {row["model"] for row in rows_of(tmp_path / "points.csv") if row["codec"] == few.variants[0].name} == {
        "11111111"
    }


def _cached(config: EvaluateConfig, anchor: str) -> list[dict[str, int]]:
    assert config.cache_dir is not None
    return [it for path in config.cache_dir.rglob(f"{anchor}-*.json") for it in json.loads(path.read_text()).values()]


def test_an_interrupted_run_goes_on_where_it_stopped(config: EvaluateConfig, tmp_path: Path) -> None:
    config = replace(config, out_dir=tmp_path, foreign_kinds=(), workers=1, resume=True)
    with pytest.raises(KeyboardInterrupt):
        evaluate(PlainJpeg(fails_after=10), config)
    with (tmp_path / "points.csv").open("a") as file:
        file.write("photos,cat,plain,9")  # a row that was being written
    codec = PlainJpeg()
    evaluate(codec, config)
    assert codec.compressed == 1 + 4 * len(QUALITIES) - 10  # the first one only tells the model
    assert len(rows_of(tmp_path / "points.csv")) == 4 * len(QUALITIES)


@pytest.mark.parametrize("file", ["points.csv", "foreign.csv"])
def test_a_run_of_another_model_is_refused_before_anything_is_measured(
    config: EvaluateConfig, tmp_path: Path, file: str
) -> None:
    config = replace(config, out_dir=tmp_path / "out", qualities=(10,))
    evaluate(PlainJpeg(), config)
    before = (config.out_dir / file).read_bytes()
    for other in {"points.csv", "foreign.csv"} - {file}:
        (config.out_dir / other).unlink()
    newer = PlainJpeg(model="11111111")
    cache = tmp_path / "cache"
    with pytest.raises(BadOption, match=rf"{file} was measured with model 0badcafe; .* 11111111\. Remove .*{file}"):
        evaluate(newer, replace(config, qualities=(10, 20), cache_dir=cache, resume=True))
    assert not cache.exists()  # of the standard codecs
    assert newer.compressed + newer.restored == 1
    assert (config.out_dir / file).read_bytes() == before


def test_a_file_that_does_not_say_its_model_is_refused(config: EvaluateConfig, tmp_path: Path) -> None:
    config = replace(config, out_dir=tmp_path, foreign_qualities=(10,), foreign_kinds=("grey",))
    evaluate_foreign(PlainJpeg(), config)
    with (tmp_path / "foreign.csv").open(newline="") as file:
        rows = [row[:-1] for row in csv.reader(file)]
    with (tmp_path / "foreign.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)  # as earlier versions wrote it
    with pytest.raises(BadOption, match=r"foreign\.csv does not state its model"):
        evaluate_foreign(PlainJpeg(), replace(config, resume=True))
    kept = evaluate_foreign(PlainJpeg(), replace(config, foreign_kinds=("luma",), resume=True))  # none of those rows
    assert {row.kind for row in kept} == {"luma"}


def test_restored_jpegs_are_resumed(config: EvaluateConfig, tmp_path: Path) -> None:
    config = replace(config, out_dir=tmp_path, foreign_kinds=("grey",))
    evaluate_foreign(PlainJpeg(), config)
    first = (tmp_path / "foreign.csv").read_bytes()
    codec = PlainJpeg()
    evaluate_foreign(codec, replace(config, resume=True))
    assert (tmp_path / "foreign.csv").read_bytes() == first
    assert codec.restored == 1  # which tells the model


def test_variants_are_measured_side_by_side(config: EvaluateConfig, tmp_path: Path) -> None:
    variants = tuple(Variant(name=f"effort {n}", options=CompressOptions(effort=n)) for n in (0, 9))
    config = replace(config, variants=variants, out_dir=tmp_path, qualities=(10, 60), foreign_kinds=())
    summary = evaluate(PlainJpeg(), config)
    assert {row.codec for row in summary.qualities} == {"effort 0", "effort 9"}


def test_a_quick_evaluation_takes_a_few_pictures_and_qualities(config: EvaluateConfig, tmp_path: Path) -> None:
    codec = PlainJpeg()
    quick = EvaluateConfig(
        data_dir=config.data_dir, out_dir=tmp_path, cache_dir=config.cache_dir, quick=True, pictures_per_set=1
    )
    seen: list[tuple[int, int]] = []
    summary = evaluate(codec, quick, progress=lambda done, total, note: seen.append((done, total)))
    assert codec.compressed <= 2 * 8
    assert {row.codec for row in summary.bd_rates} == {"virtual-codec", "webp"}
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_cache_can_be_filled_without_a_codec(config: EvaluateConfig, tmp_path: Path) -> None:
    precompute_anchors(replace(config, cache_dir=tmp_path, anchors=("jpeg2000",), pictures_per_set=1, workers=1))
    assert len(list(tmp_path.rglob("jpeg2000-*.json"))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchors": ("jpeg", "jpegxl")}, "no anchor 'jpegxl'; have jpeg, webp"),
        ({"restored": ("heic",)}, "no anchor 'heic'"),
        ({"variants": (Variant(name="webp"),)}, "must differ from each other"),
        ({"variants": (Variant(name="a"), Variant(name="a"))}, "must differ from each other"),
        ({"qualities": (0,)}, "from 1 to 100"),
        ({"foreign_kinds": ("sepia",)}, "kinds of JPEGs are colour"),
        ({"workers": 0}, "at least 1"),
    ],
)
def test_a_measurement_with_wrong_settings_is_refused(
    config: EvaluateConfig, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        replace(config, **changes)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_pictures_is_refused(config: EvaluateConfig, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadTrainingData, match="picture"):
        evaluate(PlainJpeg(), replace(config, data_dir=tmp_path / name))
