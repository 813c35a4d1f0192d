"""Our segment in a JPEG, and what the markers say."""

from __future__ import annotations

import io
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from virtual_codec import bitstream
from virtual_codec.bitstream import StreamHeader
from virtual_codec.errors import BadInput, BadStream, TooManyScans, TooManySegments, UndecodableImage

HEADER = StreamHeader(model="0badf00d", scale=2, width_remainder=2, height_remainder=1)
GOLDEN = "ffeb000d 56434443 10 14 0badf00d c6"


def picture(width: int = 40, height: int = 24, mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(7)
    return Image.fromarray(random.integers(0, 255, (height, width, 3), np.uint8)).convert(mode)


def jpeg(image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


@st.composite
def headers(draw: st.DrawFn) -> StreamHeader:
    scale = draw(st.integers(1, 16))
    return StreamHeader(
        model=draw(st.binary(min_size=4, max_size=4)).hex(),
        scale=scale,
        width_remainder=draw(st.integers(1, min(scale, 4))),
        height_remainder=draw(st.integers(1, min(scale, 4))),
        show_decoded=draw(st.booleans()),
        grey_as_colour=draw(st.booleans()),
    )


# The segment.


def test_the_wire_values_are_frozen() -> None:
    assert (bitstream.SIGNATURE, bitstream.VERSION, bitstream.SEGMENT_BYTES) == (b"VCDC", 1, 15)
    assert bitstream.pack(HEADER) == bytes.fromhex(GOLDEN)


@pytest.mark.parametrize(
    ("header", "golden"),
    [
        (StreamHeader(model="00000000", scale=1, width_remainder=1, height_remainder=1), "10 00 00000000 1f"),
        (StreamHeader(model="ffffffff", scale=2, width_remainder=1, height_remainder=2), "10 11 ffffffff 91"),
        (
            StreamHeader(model="12345678", scale=4, width_remainder=4, height_remainder=3, show_decoded=True),
            "11 3e 12345678 2e",
        ),
        (
            StreamHeader(model="89abcdef", scale=16, width_remainder=1, height_remainder=4),
            "10 f3 89abcdef 04",
        ),
        (
            StreamHeader(model="12345678", scale=2, width_remainder=2, height_remainder=1, grey_as_colour=True),
            "12 14 12345678 ec",
        ),
    ],
)
def test_a_segment_of_version_1_is_these_bytes_for_ever(header: StreamHeader, golden: str) -> None:
    wire = bytes.fromhex("ffeb000d 56434443" + golden)
    assert bitstream.pack(header) == wire
    assert bitstream.find(b"\xff\xd8" + wire) == header


@given(headers())
def test_a_packed_header_is_found(header: StreamHeader) -> None:
    stream = jpeg()
    ours = bitstream.insert(stream, header)
    assert len(ours) == len(stream) + 15
    assert bitstream.find(ours) == header
    assert bitstream.strip(ours) == stream


def test_every_single_wrong_bit_after_the_signature_is_noticed() -> None:
    wire = bitstream.pack(HEADER)
    for bit in range(8 * 8, 8 * len(wire)):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadStream):
            bitstream.find(b"\xff\xd8" + bytes(damaged))


@given(st.sets(st.integers(8 * 8, 8 * 15 - 1), min_size=2, max_size=3))
def test_two_or_three_wrong_bits_are_noticed(bits: set[int]) -> None:
    damaged = bytearray(bitstream.pack(HEADER))
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadStream):
        bitstream.find(b"\xff\xd8" + bytes(damaged))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("56434443 20 00 0badf00d de", "version 2"),
        ("56434443 14 00 0badf00d df", "reserved flags set: it may come from a newer version"),
        ("56434443 10 04 0badf00d f4", "contradicts"),  # a remainder of two pixels at scale 1
        ("56434443 10 00 0badf00d", "damaged"),
        ("56434443", "damaged"),
    ],
)
def test_a_sound_segment_that_cannot_be_is_refused(body: str, what: str) -> None:
    with pytest.raises(BadStream, match=what):
        bitstream.find(b"\xff\xd8" + segment(0xEB, bytes.fromhex(body)))


def test_a_second_segment_is_refused() -> None:
    stream = jpeg()
    twice = stream[:2] + bitstream.pack(HEADER) * 2 + stream[2:]
    with pytest.raises(BadStream, match="2 VCDC segments"):
        bitstream.find(twice)
    with pytest.raises(BadStream, match="strip"):
        bitstream.insert(bitstream.insert(stream, HEADER), HEADER)
    assert bitstream.strip(twice) == stream


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "0BADF00D"},
        {"model": "0badf00"},
        {"model": "0badf00d\n"},
        {"scale": 0},
        {"scale": 17},
        {"width_remainder": 3},
        {"height_remainder": 0},
        {"scale": 8, "height_remainder": 5},
        {"version": 2},
    ],
)
def test_a_header_that_cannot_be_written_cannot_be_made(fields: dict[str, object]) -> None:
    sound: dict[str, object] = {"model": "0badf00d", "scale": 2, "width_remainder": 1, "height_remainder": 1}
    with pytest.raises(ValueError, match="must be"):
        StreamHeader(**(sound | fields))  # type: ignore[arg-type]


def test_the_segment_leaves_jfif_and_exif_in_front() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    ours = bitstream.insert(jpeg(exif=exif), HEADER)
    assert ours[2:4] == b"\xff\xe0"
    assert ours.index(b"JFIF") < ours.index(b"Exif") < ours.index(b"VCDC") < ours.index(b"\xff\xdb")
    with Image.open(io.BytesIO(ours)) as opened:
        assert opened.getexif()[0x0112] == 3


def test_the_pixels_of_a_viewer_do_not_change() -> None:
    stream = jpeg(picture(), progressive=True)
    before, after = (np.asarray(Image.open(io.BytesIO(it))) for it in (stream, bitstream.insert(stream, HEADER)))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("foreign", [b"", segment(0xEB, b"JP\0\0jumbf"), segment(0xEB, b""), segment(0xE5, b"VCDC")])
def test_a_jpeg_without_our_segment_is_foreign(foreign: bytes) -> None:
    stream = jpeg()
    stream = stream[:2] + foreign + stream[2:]
    assert bitstream.find(stream) is None
    assert bitstream.strip(stream) == stream


def test_a_segment_inside_another_or_after_the_first_scan_is_not_ours() -> None:
    stream = jpeg(progressive=True)
    wire = bitstream.pack(HEADER)
    thumbnail = segment(0xE1, b"Exif\0\0" + b"\xff\xd8" + wire + b"\xff\xd9")
    assert bitstream.find(stream[:2] + thumbnail + stream[2:]) is None
    assert bitstream.find(stream[:-2] + wire + stream[-2:]) is None
    assert bitstream.find(stream + wire) is None


@pytest.mark.parametrize("stream", [b"", b"\xff", b"\x89PNG\r\n\x1a\n", b"<html>", b"\xff\xd9\xff\xd8"])
def test_a_file_that_is_no_jpeg_is_undecodable(stream: bytes) -> None:
    for read in (bitstream.find, bitstream.strip, bitstream.layout):
        with pytest.raises(UndecodableImage, match="not a JPEG"):
            read(stream)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_bad_input(tail: bytes) -> None:
    for stream in (b"\xff\xd8" + tail, b"\xff\xd8" + bitstream.pack(HEADER) + tail, jpeg()[:20] + tail):
        for read in (bitstream.find, bitstream.strip, bitstream.layout):
            with suppress(BadInput):
                read(stream)


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_damaged_jpeg_raises_nothing_but_bad_input(place: int, value: int) -> None:
    stream = bytearray(bitstream.insert(jpeg(progressive=True), HEADER))
    stream[place % len(stream)] = value
    for read in (bitstream.find, bitstream.layout):
        for damaged in (bytes(stream), bytes(stream[:place])):
            with suppress(BadInput):
                read(damaged)


# The layout.


@pytest.mark.parametrize(
    ("subsampling", "sampling"),
    [
        ("4:4:4", ((1, 1), (1, 1), (1, 1))),
        ("4:2:2", ((2, 1), (1, 1), (1, 1))),
        ("4:2:0", ((2, 2), (1, 1), (1, 1))),
    ],
)
def test_the_layout_of_a_colour_jpeg(subsampling: str, sampling: tuple[tuple[int, int], ...]) -> None:
    found = bitstream.layout(jpeg(picture(40, 24), subsampling=subsampling))
    assert (found.width, found.height, found.components) == (40, 24, 3)
    assert (found.precision, found.process, found.scans) == (8, "baseline", 1)
    assert found.sampling == sampling
    assert found.adobe_transform is None


def test_the_layout_of_a_progressive_jpeg() -> None:
    found = bitstream.layout(jpeg(progressive=True))
    assert (found.process, found.scans) == ("progressive", 10)


def test_the_layout_of_a_grey_and_of_a_cmyk_jpeg() -> None:
    assert bitstream.layout(jpeg(picture(mode="L"))).components == 1
    cmyk = bitstream.layout(jpeg(picture(mode="CMYK")))
    assert cmyk.components == 4
    assert cmyk.adobe_transform is not None


def test_the_tables_are_in_natural_order_one_a_component() -> None:
    luma = np.arange(1, 65, dtype=np.uint16).reshape(8, 8)
    chroma = luma[::-1] + 100
    stream = jpeg(qtables=[luma.ravel().tolist(), chroma.ravel().tolist()])
    tables = bitstream.layout(stream).tables
    assert [table.dtype for table in tables] == [np.uint16] * 3
    assert np.array_equal(tables[0], luma)
    assert np.array_equal(tables[1], chroma)
    assert np.array_equal(tables[2], chroma)
    assert not tables[0].flags.writeable


def test_16_bit_tables_are_read() -> None:
    stream = jpeg(picture(mode="L"))
    place = stream.index(b"\xff\xdb")
    steps = b"".join((300 + number).to_bytes(2, "big") for number in range(64))
    wide = stream[:place] + segment(0xDB, b"\x10" + steps) + stream[place + 69 :]
    found = bitstream.layout(wide)
    assert (found.tables[0][0, 0], found.tables[0][0, 1], found.tables[0][1, 0]) == (300, 301, 302)
    assert found.tables[0][7, 7] == 363


def test_a_table_redefined_after_its_scan_does_not_count() -> None:
    stream = jpeg(picture(mode="L"), progressive=True, quality=50)
    last = stream.rindex(b"\xff\xda")
    changed = stream[:last] + segment(0xDB, b"\0" + b"\x01" * 64) + stream[last:]
    assert np.array_equal(bitstream.layout(changed).tables[0], bitstream.layout(stream).tables[0])


@pytest.mark.parametrize(
    ("marker", "process"),
    [
        (0xC1, "extended"),
        (0xC3, "lossless"),
        (0xC9, "arithmetic"),
        (0xCA, "arithmetic"),
        (0xCB, "arithmetic"),
    ],
)
def test_a_process_that_is_not_decoded_is_named(marker: int, process: str) -> None:
    stream = bytearray(jpeg())
    frame = stream.index(b"\xff\xc0")
    stream[frame + 1] = marker
    stream[frame + 4] = 12
    found = bitstream.layout(bytes(stream))
    assert (found.process, found.precision) == (process, 12)
    assert len(found.tables) == (0 if marker in (0xC3, 0xCB) else 3)


def test_the_thumbnail_and_what_follows_the_picture_do_not_count() -> None:
    thumbnail = jpeg(picture(8, 8), progressive=True)
    stream = jpeg()
    stuffed = stream[:2] + segment(0xE1, b"Exif\0\0" + thumbnail) + stream[2:] + thumbnail
    found = bitstream.layout(stuffed)
    assert (found.scans, found.width) == (1, 40)
    assert found.entropy_bytes == bitstream.layout(stream).entropy_bytes


def test_entropy_bytes_are_the_data_of_the_scans() -> None:
    stream = jpeg()
    header_end = stream.index(b"\xff\xda") + 14
    assert bitstream.layout(stream).entropy_bytes == len(stream) - 2 - header_end


def test_more_scans_than_allowed_are_refused() -> None:
    stream = jpeg(progressive=True)
    last_scan = stream[stream.rindex(b"\xff\xda") : -2]

    def repeated(times: int) -> bytes:
        return stream[:-2] + last_scan * times + b"\xff\xd9"

    assert bitstream.layout(repeated(54)).scans == 64
    for times in (55, 2000, 100_000):
        with pytest.raises(TooManyScans) as caught:
            bitstream.layout(repeated(times))
        assert (caught.value.limit, caught.value.actual) == (64, 65)
    assert bitstream.layout(repeated(90), max_scans=100).scans == 100


@pytest.mark.parametrize(
    "evil",
    [
        b"\xff" * 8_000_000,
        b"\xff\x00" * 4_000_000,
        b"\xff\xd0" * 4_000_000,
        b"\xff\xe0\x00\x02" * 2_000_000,
        b"\xff\xfe\x00\x03\xff" * 1_600_000,
    ],
    ids=["fill", "stuffing", "restarts", "segments", "comments"],
)
def test_markers_in_masses_cost_little(evil: bytes) -> None:
    stream = jpeg()
    start = time.process_time()
    for hostile in (stream[:2] + evil + stream[2:], stream[:-2] + evil + stream[-2:]):
        try:
            bitstream.layout(hostile)
        except TooManySegments as error:  # either way is fine, only time counts
            assert (error.limit, error.actual) == (4096, 4097)  # noqa: PT017
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda it: it[: it.index(b"\xff\xda")], "before its picture"),
        (lambda it: it[:100], "past its end"),
        (lambda it: it.replace(b"\xff\xdb", b"\xff\xe9"), "quantisation table"),
        (lambda it: it.replace(b"\xff\xc0", b"\xff\xc5"), "hierarchical"),
        (lambda it: it.replace(b"\xff\xc0", b"\xff\xe9"), "before the frame"),
        (lambda it: it.replace(b"\xff\xda\x00\x0c\x03", b"\xff\xda\x00\x0c\x04"), "scan header"),
        (lambda it: it.replace(b"\xff\xc0\x00\x11", b"\xff\xc0\x00\x10"), "frame header"),
        (lambda it: it.replace(b"\xff\xdb\x00\x43\x00", b"\xff\xdb\x00\x43\x27"), "quantisation table"),
        (lambda it: it.replace(b"\x08\x00\x18\x00\x28", b"\x08\x00\x00\x00\x28"), "no pixels"),
        (lambda it: it.replace(b"\x03\x01\x22\x00", b"\x03\x01\x52\x00"), "sampling factor"),
    ],
)
def test_damaged_headers_are_refused_by_name(damage: object, what: str) -> None:
    assert callable(damage)
    with pytest.raises(UndecodableImage, match=what):
        bitstream.layout(damage(jpeg()))
