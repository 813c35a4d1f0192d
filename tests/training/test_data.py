from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import saved, scene
from virtual_codec.errors import BadTrainingData
from virtual_codec.training.data import Pictures, reduction_of
from virtual_codec.training.jpeg_recipes import smoke
from virtual_codec.training.samples import batches


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="not a folder"):
        Pictures(tmp_path / "none", smallest=64)
    with pytest.raises(BadTrainingData, match="no images"):
        Pictures(tmp_path, smallest=64)
    (tmp_path / "small.png").write_bytes(saved(scene(32, 32)))
    with pytest.warns(UserWarning, match="1 images under 64"), pytest.raises(BadTrainingData, match="0 usable"):
        Pictures(tmp_path, smallest=64)


def test_unreadable_files_are_counted_and_left_out(photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(photographs, folder)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    with pytest.warns(UserWarning, match="1 unreadable"):
        pictures = Pictures(folder, smallest=64)
    assert len(pictures.train) + len(pictures.held_out) == 20


def test_held_out_pictures_are_never_trained_on(photographs: Path) -> None:
    pictures = Pictures(photographs, smallest=64)
    held_out = {picture.tobytes() for picture in pictures.held_out}
    assert held_out
    assert not held_out & {picture.tobytes() for picture in pictures.train}


def test_batches_depend_on_seed_and_step_alone(photographs: Path) -> None:
    pictures = Pictures(photographs, smallest=64)
    config = smoke()
    from_start = [batch for batch, _ in zip(batches(pictures, config, 7, 0), range(5), strict=False)]
    later = next(iter(batches(pictures, config, 7, 3)))
    assert np.array_equal(from_start[3].decoded, later.decoded)
    assert np.array_equal(from_start[3].condition, later.condition)
    assert not np.array_equal(from_start[2].image, later.image)
    assert not np.array_equal(next(iter(batches(pictures, config, 8, 3))).image, later.image)
    assert sum(1 for _ in batches(pictures, config, 7, config.steps - 2)) == 2


@pytest.mark.parametrize(("quality", "factor"), [(96, 1.5), (95, 1.5), (90, 2), (85, 2.5), (75, 3), (40, 4)])
def test_jpegs_are_reduced_by_what_their_tables_tell(quality: int, factor: float) -> None:
    assert reduction_of(saved(scene(32, 32), "JPEG", quality=quality)) == factor


def test_lossless_sources_are_not_reduced() -> None:
    picture = scene(32, 32)
    assert reduction_of(saved(picture)) == 1
    assert reduction_of(saved(picture, "WEBP", lossless=True)) == 1
    assert reduction_of(saved(picture, "WEBP", quality=80)) == 2


def test_compressed_sources_are_counted_and_reduced(photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(photographs, folder)
    (folder / "99.jpg").write_bytes(saved(scene(200, 240), "JPEG", quality=90))
    with pytest.warns(UserWarning, match="1 images compressed with losses"):
        pictures = Pictures(folder, smallest=64)
    assert (100, 120, 3) in {picture.shape for picture in pictures.train}


def test_scale_jitter_reduces_larger_squares(photographs: Path) -> None:
    pictures = Pictures(photographs, smallest=64)
    plain, same, jittered = (
        [pictures.crop(np.random.default_rng(seed), 64, **options) for seed in range(12)]
        for options in ({}, {"scale_jitter": 1.0}, {"scale_jitter": 2.0})
    )
    assert all(np.array_equal(*pair) for pair in zip(plain, same, strict=True))
    assert {crop.shape for crop in jittered} == {(64, 64, 3)}
    assert not all(np.array_equal(*pair) for pair in zip(plain, jittered, strict=True))


def test_enlarged_crops_are_softer(photographs: Path) -> None:
    pictures = Pictures(photographs, smallest=64)

    def sharpness(enlargement: float) -> float:
        random = np.random.default_rng(0)
        crops = [pictures.crop(random, 64, enlargement=enlargement).astype(float) for _ in range(24)]
        assert {crop.shape for crop in crops} == {(64, 64, 3)}
        return float(np.mean([np.abs(np.diff(crop, axis=1)).mean() for crop in crops]))

    assert sharpness(3.0) < 0.9 * sharpness(1.0)


def manifest_of(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "MANIFEST.tsv").write_text(text, encoding="utf-8")


def write_avifs(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        (folder / name).write_bytes(saved(scene(96, 80, seed=seed), "AVIF", quality=90))


@pytest.mark.filterwarnings("error")
def test_a_manifest_says_which_images_are_held_out_and_that_they_are_reduced_already(tmp_path: Path) -> None:
    folder = tmp_path / "listed"
    write_avifs(folder, ["t00000_a.avif", "t00001_b.avif", "v00000_c.avif"])
    manifest_of(
        folder,
        "file\ttag\treduction\n"
        + "".join(
            f"{n}\tx\t2.5\n" for n in sorted(["t00000_a.avif", "t00001_b.avif", "v00000_c.avif", "v00009_missing.avif"])
        ),
    )
    pictures = Pictures(folder, smallest=64)  # a warning about reduced images would fail
    assert [picture.shape for picture in pictures.train] == [(96, 80, 3)] * 2
    assert [picture.shape for picture in pictures.held_out] == [(96, 80, 3)]
    only = Pictures(folder, smallest=64, only_held_out=True)
    assert only.train == []
    assert np.array_equal(only.held_out[0], pictures.held_out[0])


def test_a_split_column_comes_before_names_and_folders_below_count(tmp_path: Path) -> None:
    write_avifs(tmp_path / "below", ["a.avif", "v1.avif"])
    (tmp_path / "drawing.png").write_bytes(saved(scene(70, 70)))
    manifest_of(tmp_path / "below", "file\tsplit\treduction\na.avif\tvalidation\t1\nv1.avif\ttrain\t\n")
    with pytest.warns(UserWarning, match="1 images compressed with losses"):  # the one without a reduction
        pictures = Pictures(tmp_path, smallest=32)
    assert sorted(picture.shape for picture in pictures.train) == [(48, 40, 3), (70, 70, 3)]
    assert [picture.shape for picture in pictures.held_out] == [(96, 80, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\tsplit\na.avif\ttrain\n", "`file` among them"),
        ("file\tsplit\na.avif\ttest\n", "must be train or validation, got 'test'"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write_avifs(tmp_path, ["a.avif", "b.avif"])
    manifest_of(tmp_path, text)
    with pytest.raises(BadTrainingData, match=message):
        Pictures(tmp_path, smallest=64)


@pytest.mark.filterwarnings("ignore:.*compressed with losses")
def test_a_manifest_that_holds_out_everything_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    write_avifs(tmp_path, ["v1.avif", "v2.avif"])
    manifest_of(tmp_path, "file\nv1.avif\nv2.avif\n")
    with pytest.raises(BadTrainingData, match="1 to train on \\(here 0\\)"):
        Pictures(tmp_path, smallest=32)
