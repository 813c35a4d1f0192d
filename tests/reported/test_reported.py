"""Golden files after public bug reports of similar tools: files/INDEX.tsv says for each what is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pictures import opened, saved
from virtual_codec import images, metrics
from virtual_codec.codec import VirtualCodec
from virtual_codec.errors import UndecodableImage
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

Pixels = NDArray[np.uint8]

FILES = Path(__file__).parent / "files"

# Least PSNR (RGB, dB) of the decoded picture against reference.png.
PICTURES = {
    "avif_nclx_p3.avif": 28,
    "bmp32_v3_alpha0.bmp": 32,
    "bmp32_v5_alpha0.bmp": 32,
    "jpeg_dcf_adobergb.jpg": 28,
    "png_cicp_p3.png": 30,
    "png_gama_linear.png": 30,
    "tiff_grey_uint32.tif": 30,
    "tiff_rgb16_planar.tif": 32,
    "tiff_rgb16_planar_be.tif": 32,
    "gif_zero_screen.gif": 24,
    "jpeg_no_eoi.jpg": 28,
    "jpeg_no_eoi_samsung_trailer.jpg": 28,
}


@pytest.fixture(scope="module")
def shipped() -> VirtualCodec:
    return VirtualCodec(ModelStore(default_model_store()), DirectRunner())


def file(name: str) -> bytes:
    return (FILES / name).read_bytes()


def restored(codec: VirtualCodec, name: str) -> Pixels:
    return opened(codec.restore(file(name)).image)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_decoded_in_its_colours(name: str) -> None:
    shown, meant = images.decode(file(name)), opened(file("reference.png"))
    if shown.ndim == 2:
        meant = np.rint(meant @ [0.299, 0.587, 0.114]).astype(np.uint8)
    assert metrics.psnr(shown, meant) >= PICTURES[name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tiff_grey_int16.tif", "16-bit signed grey TIFF"), ("tiff_greyalpha16.tif", "16-bit grey TIFF with alpha")],
)
def test_a_kind_that_is_not_read_is_refused_by_name(name: str, kind: str) -> None:
    with pytest.raises(UndecodableImage, match=kind):
        images.decode(file(name))


def test_a_profile_applies_before_16_bits_become_8() -> None:
    shown = images.decode(file("grey16_linear_icc.png"))
    linear = np.linspace(0, 0.05, shown.shape[1])
    meant = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    assert np.abs(shown - 255 * meant).max() <= 3
    assert len(np.unique(shown)) > 60


def test_adobe_rgb_by_exif_is_restored_in_its_colours(shipped: VirtualCodec) -> None:
    assert metrics.psnr(restored(shipped, "jpeg_dcf_adobergb.jpg"), opened(file("reference.png"))) >= 28


def test_every_file_has_a_test() -> None:
    listed = [line.split("\t")[0] for line in (FILES / "INDEX.tsv").read_text().splitlines()[1:]]
    assert sorted(listed) == sorted(path.name for path in FILES.iterdir() if path.name != "INDEX.tsv")
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in listed if f'"{name}"' not in source] == []


@pytest.mark.parametrize("name", ["jpeg_no_eoi.jpg", "jpeg_no_eoi_samsung_trailer.jpg"])
def test_a_jpeg_without_its_end_marker_is_restored(shipped: VirtualCodec, name: str) -> None:
    assert metrics.psnr(restored(shipped, name), opened(file("reference.png"))) >= 28


def test_a_flat_picture_stays_as_its_plain_decode(shipped: VirtualCodec) -> None:
    shown, decoded = restored(shipped, "flat_blue_q85.jpg"), opened(file("flat_blue_q85.jpg"))
    assert np.abs(shown.astype(int) - decoded).max() <= 4
    assert np.abs(shown.astype(int) - opened(file("flat_blue.png"))).max() <= 1


@pytest.mark.parametrize("name", ["jpeg_rgb_adobe0.jpg", "jpeg_rgb_q95.jpg"])
def test_an_rgb_jpeg_is_restored_no_further_from_its_original(shipped: VirtualCodec, name: str) -> None:
    meant, decoded, shown = opened(file("jpeg_rgb_reference.png")), opened(file(name)), restored(shipped, name)
    if decoded.shape != meant.shape:
        meant = opened(file("reference.png"))
    assert metrics.psnr(shown, meant) >= metrics.psnr(decoded, meant) - 0.05


@pytest.mark.parametrize("name", ["own_stream.jpg", "own_stream_exif6.jpg", "own_stream_rotated.jpg"])
def test_a_stream_of_ours_is_restored_before_it_is_compressed(shipped: VirtualCodec, name: str) -> None:
    upright = restored(shipped, "own_stream.jpg")
    assert upright.shape == (241, 320, 3)
    meant = upright if name == "own_stream.jpg" else np.rot90(upright, -1)
    again = shipped.compress(file(name))
    shown = opened(shipped.restore(again.stream).image)
    assert (again.height, again.width) == meant.shape[:2] == shown.shape[:2]
    if name == "own_stream_rotated.jpg":  # lossless rotation leaves an incomplete MCU's strip, 17 pixels, at the edge
        meant, shown = meant[:, 17:217], shown[:, :200]
    assert metrics.psnr(np.ascontiguousarray(shown), np.ascontiguousarray(meant)) > 25


@pytest.mark.parametrize(("quality", "most_bytes"), [(30, 0.7), (80, 0.9)])
def test_a_flat_graphic_is_kept_to_its_quality(shipped: VirtualCodec, quality: int, most_bytes: float) -> None:
    meant = images.decode(file("flat_graphic.png"))
    jpeg = saved(meant, "JPEG", quality=quality, subsampling=2, optimize=True)
    stream = shipped.compress(file("flat_graphic.png"), CompressOptions(quality=quality)).stream
    assert len(stream) <= most_bytes * len(jpeg)
    assert metrics.psnr(opened(shipped.restore(stream).image), meant) >= metrics.psnr(opened(jpeg), meant)
