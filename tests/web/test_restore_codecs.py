"""WebPs and AVIFs restored in a real browser are those of the service."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.api.browser import Tab
from tests.golden_streams import CASES
from tests.pictures import saved
from tests.web.pages import GOLDEN, assert_equal, colour, failure, photograph, restored
from tests.web.static_host import StaticHost
from virtual_codec import bitstream
from virtual_codec.bitstream import CodecName, StreamHeader
from virtual_codec.codec import VirtualCodec
from virtual_codec.metrics import psnr

STREAMS = sorted(path for path in GOLDEN.iterdir() if path.suffix in (".webp", ".avif"))


@pytest.mark.parametrize("stream", STREAMS, ids=[path.name for path in STREAMS])
def test_released_streams_look_as_the_service_shows_them(host: StaticHost, tab: Tab, stream: Path) -> None:
    found = restored(tab, host.put(f"picture{stream.suffix}", stream.read_bytes()))
    served = colour(stream.with_suffix(".png").read_bytes())
    assert_equal(found, served)
    original = CASES[stream.stem.split("-", 2)[2].rpartition("-")[0]][0]
    if min(original.shape[:2]) > 1:
        original = original if original.ndim == 3 else np.repeat(original[..., None], 3, axis=2)
        assert abs(psnr(found, original) - psnr(served, original)) < 0.05
    assert tab.complaints == []


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("WEBP", {"quality": 20}),
        ("WEBP", {"quality": 80, "method": 6}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 60, "speed": 9, "subsampling": "4:4:4"}),
        ("AVIF", {"quality": 95, "speed": 9, "subsampling": "4:4:4"}),
    ],
    ids=["coarse WebP", "fine WebP", "lossless WebP", "AVIF 4:4:4", "finest AVIF"],
)
def test_other_files_look_as_the_service_shows_them(
    host: StaticHost, tab: Tab, codec: VirtualCodec, form: str, options: dict[str, Any]
) -> None:
    data = saved(photograph(131, 203), form, **options)
    assert_equal(restored(tab, host.put(f"picture.{form.lower()}", data)), colour(codec.restore(data).image))


def test_halved_chroma_is_enlarged_as_the_browser_does_it(host: StaticHost, tab: Tab, codec: VirtualCodec) -> None:
    data = saved(photograph(131, 203), "AVIF", quality=30, speed=9, subsampling="4:2:0")
    found = restored(tab, host.put("picture.avif", data))
    distance = np.abs(found.astype(np.int16) - colour(codec.restore(data).image))
    assert np.mean(distance <= 1) >= 0.95
    assert distance.max() <= 8
    plain = np.abs(found.astype(np.int16) - colour(data))
    assert plain.mean() > 3 * distance.mean(), "the network must change more than the enlarging does"


@pytest.mark.parametrize("codec_name", ["webp", "avif"])
def test_a_damaged_header_is_an_error(host: StaticHost, tab: Tab, codec_name: CodecName) -> None:
    data = saved(photograph(40, 60), codec_name.upper(), quality=30)
    header = StreamHeader(model="7b9df9b7", scale=1, width_remainder=1, height_remainder=1)
    stream = bitstream.attach(data, header, codec_name)
    assert "damaged" in failure(tab, host.put(f"picture.{codec_name}", stream.replace(b"VCDC\x10", b"VCDC\x90")))
    assert failure(tab, host.put(f"picture.{codec_name}", stream[:60]))


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
def test_transparent_and_animated_files_are_refused(host: StaticHost, tab: Tab, form: str) -> None:
    pixels = photograph(40, 60)
    file = io.BytesIO()
    Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save(file, form, quality=30)
    assert "transparent" in failure(tab, host.put(f"picture.{form.lower()}", file.getvalue()))
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    file = io.BytesIO()
    frames[0].save(file, form, quality=30, save_all=True, append_images=frames[1:])
    assert "animated" in failure(tab, host.put(f"picture.{form.lower()}", file.getvalue()))
