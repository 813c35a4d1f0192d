"""Drawings to train on: every kind is a full picture, the same for the same random state, and varied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from virtual_codec.training.crops import training_crop, validation_crops
from virtual_codec.training.data import Pictures
from virtual_codec.training.drawings import DRAWINGS, drawing
from virtual_codec.training.drawings._fonts import font_files, random_font
from virtual_codec.training.recipes import RECIPES


@pytest.mark.parametrize("kind", list(DRAWINGS))
@pytest.mark.parametrize("side", [96, 161])
def test_a_drawing_has_the_side_asked_for(kind: str, side: int) -> None:
    picture = DRAWINGS[kind](np.random.default_rng(3), side)
    assert picture.shape == (side, side, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("kind", list(DRAWINGS))
def test_the_same_random_state_draws_the_same_picture(kind: str) -> None:
    first, again, other = (DRAWINGS[kind](np.random.default_rng(seed), 96) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", list(DRAWINGS))
def test_most_drawings_have_edges(kind: str) -> None:
    pictures = [DRAWINGS[kind](np.random.default_rng((5, seed)), 128).astype(float) for seed in range(8)]
    largest_steps = [np.abs(np.diff(picture, axis=1)).max() for picture in pictures]
    assert np.median(largest_steps) > 20


def test_drawing_covers_every_kind() -> None:
    random = np.random.default_rng(0)
    pictures = {drawing(random, 32).tobytes() for _ in range(40)}
    assert len(pictures) == 40


def test_a_machine_without_fonts_draws_with_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    font_files.cache_clear()
    monkeypatch.setattr("virtual_codec.training.drawings._fonts._FONT_FOLDERS", {})
    font = random_font(np.random.default_rng(0), 14)
    font_files.cache_clear()
    assert isinstance(font, ImageFont.FreeTypeFont | ImageFont.ImageFont)
    assert font.getbbox("letters")[2] > 20


def test_a_share_of_the_crops_is_drawn(tmp_path: Path) -> None:
    for index in range(2):
        Image.fromarray(np.full((64, 64, 3), 100 + index, np.uint8)).save(tmp_path / f"{index}.png")
    pictures = Pictures(tmp_path, smallest=32)
    config = replace(RECIPES["smoke"](), crop=32)

    def plain_crops(share: float) -> int:
        random = np.random.default_rng(0)
        crops = [training_crop(random, pictures, replace(config, drawings_share=share)) for _ in range(40)]
        return sum(int(np.ptp(crop)) == 0 for crop in crops)

    assert plain_crops(0.0) == 40
    assert 5 < plain_crops(0.5) < 35
    assert plain_crops(1.0) < 5


def test_validation_draws_its_share_of_crops_and_repeats_them(tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64, 3), 100, np.uint8)).save(tmp_path / "0.png")
    pictures = Pictures(tmp_path, smallest=32, only_held_out=True)
    config = replace(RECIPES["smoke"](), crop=32, drawings_share=0.85)
    crops = validation_crops(pictures, config, 20)
    assert [it.tobytes() for it in crops] == [it.tobytes() for it in validation_crops(pictures, config, 20)]
    assert len({it.tobytes() for it in crops[:17]}) == 17
    squares = [it.tobytes() for it in pictures.held_out_crops(32, 3)]
    assert [it.tobytes() for it in crops[17:]] == squares
    assert [it.tobytes() for it in validation_crops(pictures, replace(config, drawings_share=0.0), 3)] == squares
