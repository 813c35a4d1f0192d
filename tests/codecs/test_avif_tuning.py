"""AVIFs are tuned for what the network restores best, from coarse levels to fine ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.pictures import scene
from virtual_codec import bitstream
from virtual_codec.codecs import QUALITY_CODECS, QualitySettings
from virtual_codec.codecs._by_quality import _avif_tuning
from virtual_codec.metrics import psnr

AVIF = QUALITY_CODECS["avif"]
PICTURE = scene(128, 160)


def coded(level: int, **settings: bool) -> bytes:
    return AVIF.encode(PICTURE, QualitySettings(level=level, speed=9, subsampling="444", **settings))


def test_matrices_flatten_with_the_level_until_there_is_none() -> None:
    found = [int(_avif_tuning(level).get("qm-min", "15")) for level in AVIF.levels]
    assert (found[0], found[40], found[44], found[64], found[99]) == (9, 9, 10, 15, 15)
    assert sorted(found) == found
    assert "enable-qm" not in _avif_tuning(99)


def test_size_and_quality_rise_across_the_levels_where_the_matrix_changes() -> None:
    streams = [coded(level) for level in range(32, 76, 4)]
    assert sorted(len(stream) for stream in streams) == [len(stream) for stream in streams]
    values = [psnr(AVIF.decode(stream), PICTURE) for stream in streams]
    assert sorted(values) == values


@pytest.mark.parametrize("level", [20, 50, 90])
def test_the_tuning_saves_bytes_of_a_picture_of_equal_psnr(level: int) -> None:
    tuned, own = coded(level), [coded(each, is_tuned=False) for each in AVIF.levels[::9]]
    wanted = psnr(AVIF.decode(tuned), PICTURE)
    reached = [psnr(AVIF.decode(stream), PICTURE) for stream in own]
    assert len(tuned) < np.interp(wanted, reached, [len(stream) for stream in own])


def test_the_quantiser_is_read_with_and_without_a_matrix() -> None:
    steps = [bitstream.quantisation(coded(level), "avif") for level in (20, 80)]
    assert [step is not None and step.luma[1] > 1 for step in steps] == [True, True]


def test_untuned_is_what_pillow_makes_by_itself() -> None:
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(
        file, "AVIF", quality=50, speed=9, subsampling="4:4:4", max_threads=1, autotiling=False
    )
    assert coded(50, is_tuned=False) == file.getvalue()
