"""What WebP, AVIF and JPEG 2000 files state of their quantisation, read without decoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import features

from tests.pictures import saved, scene
from virtual_codec import bitstream
from virtual_codec.bitstream import CODEC_NAMES
from virtual_codec.bitstream._av1 import av1_quantisation

PICTURE = scene(72, 104)
JPEG2000 = {"quality_mode": "dB", "irreversible": True, "mct": 1}
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def files() -> dict[str, bytes]:
    made = {
        "webp": saved(PICTURE, "WEBP", quality=40),
        "jpeg2000": saved(PICTURE, "JPEG2000", quality_layers=[32], **JPEG2000),
    }
    return made | ({"avif": saved(PICTURE, "AVIF", quality=50, speed=9)} if features.check("avif") else {})


def av1(bits: str) -> bytes:
    """A sequence header and a frame header of the bits of both, divided by `|`."""
    units = b""
    for kind, part in zip((1, 3), bits.replace(" ", "").split("|"), strict=True):
        body = int(part + "1" + "0" * (-(len(part) + 1) % 8), 2).to_bytes((len(part) + 8) // 8, "big")
        units += bytes([kind << 3 | 2, len(body)]) + body
    return units


@needs_avif
@pytest.mark.parametrize(("quality", "index"), [(5, 240), (20, 200), (40, 152), (60, 100), (80, 52), (95, 12)])
def test_the_quantiser_of_an_avif_is_read(quality: int, index: int) -> None:
    """With libaom tuned for PSNR, libavif's qualities stand for fixed base_q_idx."""
    file = saved(PICTURE, "AVIF", quality=quality, speed=9, subsampling="4:4:4", advanced={"tune": "psnr"})
    found = bitstream.quantisation(file, "avif")
    assert found is not None
    assert (found.index, found.is_subsampled, found.is_grey, found.is_lossless) == (index, False, False, False)
    assert found.luma == found.chroma


@needs_avif
@pytest.mark.parametrize(("subsampling", "is_subsampled"), [("4:2:0", True), ("4:2:2", True), ("4:4:4", False)])
@pytest.mark.parametrize("tiles", [0, 1])
def test_the_chroma_of_an_avif_is_read_for_any_tiles(subsampling: str, is_subsampled: bool, tiles: int) -> None:
    picture = scene(280, 300)
    file = saved(picture, "AVIF", quality=50, speed=10, subsampling=subsampling, tile_rows=tiles, tile_cols=tiles)
    found = bitstream.quantisation(file, "avif")
    assert found is not None
    assert found.is_subsampled is is_subsampled
    assert 20 < found.luma[1] < 60


@needs_avif
def test_grey_and_lossless_avifs_are_known() -> None:
    grey = bitstream.quantisation(saved(PICTURE[..., 0].copy(), "AVIF", quality=50, speed=10), "avif")
    assert grey is not None
    assert grey.is_grey
    lossless = bitstream.quantisation(saved(PICTURE, "AVIF", quality=100, speed=10, subsampling="4:4:4"), "avif")
    assert lossless is not None
    assert lossless.is_lossless


def test_the_steps_of_av1_are_those_of_its_tables() -> None:
    """Reduced still picture headers, 64x64, one tile, base_q_idx 16, 128 and 255: Dc_Qlookup and Ac_Qlookup over 8."""
    sequence = "000 1 1 00000 0101 0101 111111 111111 0 00 0 00 0 0 0 0 00 0"
    for index, dc, ac in ((16, 20, 23), (128, 140, 176), (255, 1336, 1828)):
        found = av1_quantisation(av1(f"{sequence} | 0 0 0 1 {index:08b} 0 0 0"))
        assert found is not None
        assert found.index == index
        assert found.luma == found.chroma == (dc / 8, ac / 8)
        assert found.is_subsampled


@pytest.mark.parametrize("quality", [0, 5, 30, 60, 90, 100])
@pytest.mark.parametrize("method", [0, 4])
def test_the_quantiser_and_filter_of_a_webp_are_read(quality: int, method: int) -> None:
    found = bitstream.quantisation(saved(PICTURE, "WEBP", quality=quality, method=method), "webp")
    assert found is not None
    assert (found.index == 127) is (quality == 0)
    assert (found.index == 0) is (quality == 100)
    assert found.is_subsampled
    assert 1.9 < found.luma[1] < 142.1
    assert (found.filter_level > 0) is (quality <= 90)


def test_coarser_files_state_larger_steps() -> None:
    for kind, codec, options in (
        ("WEBP", "webp", [{"quality": quality} for quality in (5, 20, 50, 75, 95)]),
        ("JPEG2000", "jpeg2000", [{"quality_layers": [decibels], **JPEG2000} for decibels in (24, 30, 36, 42)]),
    ):
        found = [bitstream.quantisation(saved(PICTURE, kind, **each), codec) for each in options]  # type: ignore[arg-type]
        steps = [each.luma[1] for each in found if each is not None]
        assert len(steps) == len(options)
        assert steps == sorted(steps, reverse=True)
        assert len(set(steps)) == len(steps)


def test_files_coded_without_losses_are_known() -> None:
    webp = bitstream.quantisation(saved(PICTURE, "WEBP", lossless=True), "webp")
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    jpeg2000 = bitstream.quantisation(saved(noise, "JPEG2000"), "jpeg2000")
    assert webp is not None
    assert webp.is_lossless
    assert jpeg2000 is not None
    assert jpeg2000.is_lossless
    lossy = bitstream.quantisation(files()["jpeg2000"], "jpeg2000")
    assert lossy is not None
    assert not lossy.is_lossless


def test_a_code_stream_without_boxes_is_read_as_well() -> None:
    bare = saved(PICTURE, "JPEG2000", no_jp2=True, quality_layers=[32], **JPEG2000)
    assert bitstream.quantisation(bare, "jpeg2000") == bitstream.quantisation(files()["jpeg2000"], "jpeg2000")
    assert bitstream.picture_bytes(bare, "jpeg2000") == len(bare)


def test_the_size_of_a_picture_leaves_out_what_stands_around_it() -> None:
    for codec, file in files().items():
        size = bitstream.picture_bytes(file, codec)  # type: ignore[arg-type]
        assert 0.3 * len(file) < size < len(file)


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_files_cut_short_state_nothing_wrong(codec: bitstream.CodecName) -> None:
    """Every beginning of a file is read without a failure; what it states is what the whole states, or nothing."""
    file = files().get(codec) or pytest.skip("this Pillow lacks the codec")
    whole = bitstream.quantisation(file, codec)
    for length in range(min(len(file), 700)):
        found = bitstream.quantisation(file[:length], codec)
        assert found is None or codec != "avif" or found == whole


@given(st.data(), st.sampled_from(sorted(files())))
def test_readers_survive_any_damage(data: st.DataObject, codec: bitstream.CodecName) -> None:
    file = bytearray(files()[codec])
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, min(len(file), 600) - 1))] = data.draw(st.integers(0, 255))
    found = bitstream.quantisation(bytes(file), codec)
    if found is not None:
        assert all(0 < step < 1000 for step in (*found.luma, *found.chroma))
    bitstream.picture_bytes(bytes(file), codec)


@given(st.binary(max_size=200))
def test_readers_survive_any_bytes(data: bytes) -> None:
    av1_quantisation(data)
    for codec, head in (
        ("webp", b"RIFF\xff\0\0\0WEBPVP8 \xff\0\0\0\x10\0\0\x9d\x01\x2a"),
        ("jpeg2000", b"\xff\x4f\xff\x51"),
    ):
        bitstream.quantisation(head + data, codec)  # type: ignore[arg-type]
