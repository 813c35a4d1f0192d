"""Our header in WebP, AVIF and JPEG 2000 files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import features

from tests.pictures import opened, saved, scene
from virtual_codec import bitstream
from virtual_codec.bitstream import CODEC_NAMES, CodecName, StreamHeader
from virtual_codec.errors import BadStream, UndecodableImage

PICTURE = scene(41, 57)
HEADER = StreamHeader(model="0badf00d", scale=1, width_remainder=1, height_remainder=1, show_decoded=True)
BODY = "56434443 11 00 0badf00d 52"


def file_of(codec: CodecName) -> bytes:
    if codec == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    kind = {"webp": "WEBP", "avif": "AVIF", "jpeg2000": "JPEG2000"}[codec]
    options: dict[str, dict[str, object]] = {
        "webp": {"quality": 40},
        "avif": {"quality": 40, "speed": 10},
        "jpeg2000": {"quality_layers": [30]},
    }
    return saved(PICTURE, kind, **options[codec])


def test_the_wire_values_are_frozen() -> None:
    webp = bitstream.attach(file_of("webp"), HEADER, "webp")
    assert webp.endswith(b"VCDC\x0b\0\0\0" + bytes.fromhex(BODY) + b"\0")
    assert webp[12:30] == b"VP8X\x0a\0\0\0" + bytes(4) + bytes([56, 0, 0, 40, 0, 0])
    jpeg2000 = bitstream.attach(file_of("jpeg2000"), HEADER, "jpeg2000")
    box = bytes.fromhex("00000023 75756964 8d3b5f0e6c1947a2b5e4566364630001") + bytes.fromhex(BODY)
    assert jpeg2000.endswith(box)
    assert bitstream.ATTACHED_BYTES == {"webp": 38, "avif": 35, "jpeg2000": 35}


@pytest.mark.parametrize("codec", CODEC_NAMES)
@pytest.mark.parametrize("flags", [{}, {"grey_as_colour": True}, {"colour_as_grey": True}])
def test_an_attached_header_is_found_and_skipped_by_other_decoders(codec: CodecName, flags: dict[str, bool]) -> None:
    file = file_of(codec)
    header = StreamHeader(model="4f6c3978", scale=1, width_remainder=1, height_remainder=1, **flags)
    stream = bitstream.attach(file, header, codec)
    assert bitstream.find_attached(stream, codec) == header
    assert len(stream) == len(file) + bitstream.ATTACHED_BYTES[codec]
    assert np.array_equal(opened(stream), opened(file))
    assert bitstream.quantisation(stream, codec) == bitstream.quantisation(file, codec)
    assert bitstream.find_attached(bitstream.detach(stream, codec), codec) is None
    assert np.array_equal(opened(bitstream.detach(stream, codec)), opened(file))


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_other_files_have_no_header(codec: CodecName) -> None:
    file = file_of(codec)
    assert bitstream.find_attached(file, codec) is None
    assert bitstream.detach(file, codec) == file


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_a_damaged_header_is_named(codec: CodecName) -> None:
    stream = bitstream.attach(file_of(codec), HEADER, codec)
    place = stream.rindex(bytes.fromhex("0badf00d"))
    with pytest.raises(BadStream, match="damaged"):
        bitstream.find_attached(stream[:place] + b"\xff" + stream[place + 1 :], codec)


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_two_headers_are_one_too_many(codec: CodecName) -> None:
    stream = bitstream.attach(file_of(codec), HEADER, codec)
    with pytest.raises(BadStream, match="already"):
        bitstream.attach(stream, HEADER, codec)
    part = stream[-20:] if codec == "webp" else stream[-35:]
    twice = stream + part
    if codec == "webp":
        twice = b"RIFF" + (len(twice) - 8).to_bytes(4, "little") + twice[8:]
    with pytest.raises(BadStream, match="2 VCDC headers"):
        bitstream.find_attached(twice, codec)


def test_a_file_that_is_no_webp_gets_no_header() -> None:
    with pytest.raises(UndecodableImage, match="WebP"):
        bitstream.attach(b"RIFF\4\0\0\0WEBP", HEADER, "webp")


def test_a_webp_with_metadata_keeps_it() -> None:
    file = saved(PICTURE, "WEBP", quality=40, xmp=b"<x:xmpmeta/>")
    stream = bitstream.attach(file, HEADER, "webp")
    assert len(stream) == len(file) + 20
    assert b"<x:xmpmeta/>" in stream
