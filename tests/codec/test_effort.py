from __future__ import annotations

from pathlib import Path

import pytest

from tests.pictures import opened, saved, scene
from virtual_codec.codec import open_codec
from virtual_codec.jobs import CompressOptions
from virtual_codec.metrics import psnr

STORE = Path(__file__).parents[2] / "model_store"
PICTURE = scene(112, 160)


@pytest.mark.parametrize("quality", [15, 40])
def test_a_higher_effort_gives_no_larger_stream_and_no_worse_picture(quality: int) -> None:
    codec = open_codec(STORE, threads=1)
    png = saved(PICTURE, "PNG")
    usual, *higher = (codec.compress(png, CompressOptions(quality=quality, effort=effort)) for effort in (4, 5, 7))
    least = psnr(opened(codec.restore(usual.stream).image), PICTURE)
    for result in higher:
        assert len(result.stream) <= 1.01 * len(usual.stream)
        assert psnr(opened(codec.restore(result.stream).image), PICTURE) >= least - 1e-6
    assert min(len(result.stream) for result in higher) < len(usual.stream)
