"""The three promises of never being worse: than the plain decode, than ordinary JPEG, than the JPEG one had.

The small sets here are drawn or come along with scikit-image; `slow` asks the same of whole test sets where they lie
beside the repository (or where VCODEC_TEST_SETS says).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from tests.conftest import ROOT
from tests.drawings import FLAT_COLOURS, drawings, flat_drawing
from tests.pictures import opened, saved
from virtual_codec import images, metrics
from virtual_codec.codec import VirtualCodec
from virtual_codec.codec.model import as_colour, plain_restore
from virtual_codec.codec.trial import mean_squared_error
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

Pixels = NDArray[np.uint8]

JPEG_QUALITIES = (1, 4, 8, 14, 22, 32, 45, 60, 75, 88, 95, 98, 100)
TEST_SETS = Path(os.environ.get("VCODEC_TEST_SETS", ROOT.parent / "shared" / "data" / "test"))


@pytest.fixture(scope="module")
def codec() -> VirtualCodec:
    return VirtualCodec(ModelStore(default_model_store()), DirectRunner())


def photographs() -> list[Pixels]:
    astronaut, coffee, cat = data.astronaut(), data.coffee(), data.chelsea()  # type: ignore[no-untyped-call]
    corners = ((astronaut, 20, 150), (coffee, 90, 200), (cat, 60, 130))
    return [np.ascontiguousarray(picture[top : top + 176, left : left + 176]) for picture, top, left in corners]


def small_set(name: str) -> list[Pixels]:
    if name == "grey photographs":
        return [np.asarray(Image.fromarray(picture).convert("L")) for picture in photographs()]
    return photographs() if name == "photographs" else list(drawings().values())


def jpeg(picture: Pixels, quality: int) -> bytes:
    return saved(picture, "JPEG", quality=quality, subsampling=2, optimize=True)


def gain_over_jpeg(picture: Pixels, restored: Pixels, size_bytes: int) -> float:
    """PSNR over that of the ordinary JPEG of as many bytes: along its curve, and at its ends over the last of them.

    A picture that had been a JPEG comes back whole at that very quality: a spike, which is no JPEG's of other bytes.
    """
    streams = [jpeg(picture, quality) for quality in JPEG_QUALITIES]
    sizes = np.maximum.accumulate([len(stream) for stream in streams])
    levels = [min(99.0, metrics.psnr(opened(stream), picture)) for stream in streams]
    levels = np.minimum.accumulate(levels[::-1])[::-1].tolist()  # without spikes
    return min(99.0, metrics.psnr(restored, picture)) - float(np.interp(np.log(size_bytes), np.log(sizes), levels))


def check_quality(codec: VirtualCodec, pictures: Sequence[Pixels], quality: int) -> None:
    gains = []
    for picture in pictures:
        stream = codec.compress(saved(picture), CompressOptions(quality=quality)).stream
        restored = opened(codec.restore(stream).image)
        scale = -(-picture.shape[0] // opened(stream).shape[0])
        plain = plain_restore(images.decode_jpeg(images.parse_jpeg(stream)).samples, scale)[
            : picture.shape[0], : picture.shape[1]
        ]
        if plain.ndim < picture.ndim:
            plain = as_colour(plain)
        assert mean_squared_error(restored, picture) <= mean_squared_error(plain, picture)
        gains.append(gain_over_jpeg(picture, restored, len(stream)))
    assert np.mean(gains) >= 0, f"quality {quality}: {np.round(gains, 2)} dB over JPEG at equal bytes"


def check_foreign(codec: VirtualCodec, pictures: Sequence[Pixels], quality: int) -> None:
    gains = []
    for picture in pictures:
        stream = jpeg(picture, quality)
        restored = opened(codec.restore(stream).image)
        gains.append(min(99, metrics.psnr(restored, picture)) - min(99, metrics.psnr(opened(stream), picture)))
    assert np.mean(gains) >= 0, f"quality {quality}: {np.round(gains, 2)} dB gained"


@pytest.mark.parametrize("quality", [1, 10, 50, 90, 100])
@pytest.mark.parametrize("name", ["photographs", "grey photographs", "drawings"])
def test_a_stream_is_never_worse_than_plain_or_ordinary_jpeg(codec: VirtualCodec, name: str, quality: int) -> None:
    check_quality(codec, small_set(name), quality)


@pytest.mark.parametrize("quality", [10, 40, 75, 90, 97, 100])
@pytest.mark.parametrize("name", ["photographs", "drawings"])
def test_other_peoples_jpegs_never_get_worse(codec: VirtualCodec, name: str, quality: int) -> None:
    check_foreign(codec, small_set(name), quality)


@pytest.mark.parametrize("kind", ["noise", "dithered"])
def test_what_no_network_can_describe_costs_no_more_than_an_ordinary_jpeg(codec: VirtualCodec, kind: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    if kind == "dithered":
        picture = np.asarray(Image.fromarray(photographs()[0][:96, :128]).convert("1").convert("L"))
    streams = [saved(picture, "JPEG", quality=quality, subsampling=0, optimize=True) for quality in range(50, 100, 2)]
    ordinary = next(stream for stream in streams if metrics.psnr(opened(stream), picture) >= 35)
    assert len(codec.compress(saved(picture), CompressOptions(min_psnr=35)).stream) < 0.95 * len(ordinary)


@pytest.mark.parametrize("kind", ["colour", "grey", "noise"])
def test_asking_for_less_never_costs_more(codec: VirtualCodec, kind: str) -> None:
    """Where one way of coding gives place to another, a target must find the way that is cheaper."""
    picture = photographs()[0][:96, :128]
    if kind != "colour":
        noise = np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8)
        picture = noise if kind == "noise" else np.ascontiguousarray(picture[..., 1])
    targets = (30, 36, 42, 44, 44.5, 45, 46, 48)
    sizes = [len(codec.compress(saved(picture), CompressOptions(min_psnr=target)).stream) for target in targets]
    for less, more in pairwise(sizes):
        assert less <= 1.01 * more, sizes


@pytest.mark.parametrize("quality", [10, 25, 50, 75])
def test_flat_colours_shift_no_more_than_an_ordinary_jpegs(codec: VirtualCodec, quality: int) -> None:
    picture = flat_drawing()
    ordinary = jpeg(picture, quality)
    allowed = colour_shift(opened(ordinary), picture) + 1
    for stream in (codec.compress(saved(picture), CompressOptions(quality=quality)).stream, ordinary):
        assert colour_shift(opened(codec.restore(stream).image), picture) <= allowed


def colour_shift(shown: Pixels, picture: Pixels) -> float:
    """The furthest that the mean of a flat field is from its colour, in levels of a channel."""
    fields = [(picture == colour).all(axis=2) for colour in FLAT_COLOURS]
    return max(
        float(np.abs(shown[field].mean(axis=0) - colour).max())
        for field, colour in zip(fields, FLAT_COLOURS, strict=True)
    )


def test_a_colour_jpeg_without_colour_gets_none(codec: VirtualCodec) -> None:
    stream = jpeg(drawings()["line art"], 40)
    restored = opened(codec.restore(stream).image)
    assert restored.shape == (*opened(stream).shape[:2], 3)
    assert np.ptp(restored, axis=2).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("quality", [1, 5, 10, 20, 35, 50, 70, 85, 95, 100])
@pytest.mark.parametrize("name", ["kodak", "live1", "nonphoto", "set5", "set14", "classic5"])
def test_whole_sets_are_never_worse(codec: VirtualCodec, name: str, quality: int) -> None:
    folder = TEST_SETS / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    pictures = [images.decode(path.read_bytes()) for path in sorted(folder.iterdir()) if path.suffix != ".txt"]
    check_quality(codec, pictures, quality)
    if quality >= 10:
        check_foreign(codec, pictures, quality)
