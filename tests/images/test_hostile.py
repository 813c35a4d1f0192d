"""Files that were made to hurt, or broke on the way: refused by name, soon, and without much memory."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.images.pictures import Tags, noise, png, png_chunk, smooth, tag_bomb, tiff, written
from virtual_codec.errors import BadInput, TooManyPixels, TooManyScans, UndecodableImage
from virtual_codec.images import decode

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]
ROW = b"\0" * 4  # of a PNG of one pixel


@contextmanager
def at_most_s(seconds: float) -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def progressive(side: int) -> tuple[bytes, bytes]:
    """A JPEG without its end, and its last scan."""
    stream = written(noise(side, side), "JPEG", progressive=True, quality=20)
    return stream[:-2], stream[stream.rindex(b"\xff\xda") : -2]


# Broken on the way.


@pytest.mark.parametrize("form", FORMATS)
def test_a_truncated_file_is_refused(form: str) -> None:
    picture = smooth(64, 48)
    file = written(picture, form)
    whole = decode(file)
    for length in range(1, len(file), max(1, len(file) // 150)):
        try:
            found = decode(file[:length])
        except BadInput:
            continue
        assert length > 0.85 * len(file), f"{length} of {len(file)} bytes were enough"
        assert np.array_equal(found, whole)  # what was cut off were no pixels


@pytest.mark.parametrize("options", [{"progressive": True}, {"progressive": False}, {"quality": 100}])
def test_a_jpeg_that_lacks_its_last_bytes_is_refused(options: dict[str, object]) -> None:
    file = written(noise(), "JPEG", **options)
    for cut in range(3, 40):
        with pytest.raises(UndecodableImage):
            decode(file[:-cut])


@pytest.mark.parametrize("form", FORMATS)
def test_a_wrong_byte_raises_nothing_else(form: str) -> None:
    file = written(smooth(24, 16), form)
    random = np.random.default_rng(5)
    for place in random.integers(0, len(file), 300):
        damaged = bytearray(file)
        damaged[place] = random.integers(0, 256)
        with suppress(BadInput):
            decode(bytes(damaged))


@given(st.sampled_from(FORMATS), st.integers(0, 60), st.binary(max_size=80))
def test_nonsense_after_any_beginning_raises_nothing_else(form: str, length: int, nonsense: bytes) -> None:
    with suppress(BadInput):
        decode(written(smooth(8, 8), form)[:length] + nonsense)


@pytest.mark.parametrize("stage", [b"IDAT", b"PLTE"])
def test_a_wrong_checksum_of_a_needed_chunk_is_no_crash(stage: bytes) -> None:
    file = bytearray(written(Image.fromarray(smooth()).quantize(8), "PNG"))
    place = file.index(stage)
    file[place + 4 + int.from_bytes(file[place - 4 : place], "big")] ^= 1
    with suppress(BadInput):
        decode(bytes(file))


# Bombs: a header that promises too much.


@pytest.mark.parametrize("sides", [(65_535, 65_535), (7_072, 7_072), (2_000_000_000, 2_000_000_000), (2**31 - 1, 1)])
def test_a_header_bomb_is_refused_by_its_header(sides: tuple[int, int]) -> None:
    width, height = sides
    bombs = [
        png(width, height, b"\0"),
        tiff({256: width, 257: height, 258: 8, 259: 1, 262: 1}, bytes(9)),
        b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, width, height, 1, 24, 0) + bytes(30),
    ]
    if max(sides) < 65_536:
        size = struct.pack("<HH", width, height)
        gif = written(smooth(), "GIF")
        descriptor = gif.index(b",\0\0\0\0\x28\0\x18\0")
        bombs.append(gif[:6] + size + gif[10:])
        bombs.append(gif[: descriptor + 5] + size + gif[descriptor + 9 :])
        jpeg = written(smooth(), "JPEG")
        bombs.append(jpeg.replace(struct.pack(">HH", 24, 40), struct.pack(">HH", height, width)))
    for bomb in bombs:
        with at_most_s(2.0), pytest.raises(TooManyPixels) as caught:
            decode(bomb)
        assert caught.value.limit == 50_000_000
        assert caught.value.actual == width * height


def test_a_webp_canvas_bomb_is_refused_by_its_header() -> None:
    webp = written(smooth(), "WEBP", lossless=True)
    canvas = struct.pack("<4sII", b"VP8X", 10, 0) + b"\xfe\x3f\0\xfe\x3f\0"
    with pytest.raises(TooManyPixels, match="16383x16383"):
        decode(b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(webp) - 12) + b"WEBP" + canvas + webp[12:])


def test_a_tile_bomb_in_a_small_tiff_is_refused() -> None:
    tags = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 100}
    with pytest.raises(TooManyPixels, match="60000x60000"):
        decode(tiff({**tags}, bytes(100)))


def test_a_small_png_that_inflates_without_end_costs_nothing() -> None:
    bomb = png(10, 10, bytes(200_000_000))
    with at_most_s(2.0):
        assert decode(bomb).shape == (10, 10, 3)


def test_a_strip_that_inflates_without_end_costs_nothing() -> None:
    bomb = tiff({256: 10, 257: 10, 258: 8, 259: 8, 262: 1}, zlib.compress(bytes(200_000_000)))
    with at_most_s(2.0), suppress(BadInput):
        decode(bomb)


# Bombs: work that pixels do not tell of.


def test_a_scan_bomb_is_refused_before_decoding() -> None:
    start, scan = progressive(512)
    with at_most_s(2.0), pytest.raises(UndecodableImage, match="data of a scan ends"):
        decode(start + scan * 54 + b"\xff\xd9")  # what refines the levels once does not do so twice
    harmless = next(b"\xff\xda" + it for it in start.split(b"\xff\xda") if it[9:12] == b"\0\0\x10")  # refines DC
    with at_most_s(2.0):
        assert decode(start + harmless * 54 + b"\xff\xd9").shape == (512, 512, 3)
    for times in (55, 2000):
        with at_most_s(2.0), pytest.raises(TooManyScans) as caught:
            decode(start + scan * times + b"\xff\xd9")
        assert (caught.value.limit, caught.value.actual) == (64, 65)


def test_a_scan_bomb_inside_a_tiff_is_refused() -> None:
    stream = written(noise(64, 64, 0), "JPEG", progressive=True)
    scan = stream[stream.rindex(b"\xff\xda") : -2]
    tags = {256: 64, 257: 64, 258: 8, 259: 7, 262: 1}
    assert decode(tiff({**tags}, stream)).shape == (64, 64)
    with pytest.raises(TooManyScans):
        decode(tiff({**tags}, stream[:-2] + scan * 100 + b"\xff\xd9"))


def test_strips_that_all_point_at_one_block_are_refused() -> None:
    block = zlib.compress(noise(4000, 1000, 0).tobytes(), 0)
    lengths = (len(block),) * 1000
    with at_most_s(2.0), pytest.raises(UndecodableImage, match="longer than the file"):
        decode(tiff({256: 1000, 257: 1000, 258: 8, 259: 8, 262: 1, 278: 1, 279: lengths, 273: 0}, block))


@pytest.mark.parametrize("bytes_", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xff\x00", b"\0"])
def test_filling_in_a_jpeg_costs_little(bytes_: bytes) -> None:
    file = written(smooth(), "JPEG")
    filling = bytes_ * (10_000_000 // len(bytes_))
    for place in (20, len(file) - 2, len(file)):
        with at_most_s(2.0), suppress(BadInput):
            decode(file[:place] + filling + file[place:])


def test_metadata_bombs_cost_little_and_affect_no_other_request() -> None:
    exif = tag_bomb(60_000, 1_000_000)
    segment = b"\xff\xe1\xff\xff" + (b"Exif\0\0" + tag_bomb(2_700, 32_000)).ljust(65_533, b"\0")
    zeros = zlib.compress(bytes(100_000_000))
    jpeg, webp = written(smooth(1, 1), "JPEG"), written(smooth(1, 1), "WEBP", exif=tag_bomb(4, 8))
    place = webp.index(b"EXIF")
    riff = webp[12:place] + b"EXIF" + struct.pack("<I", len(exif)) + exif
    blank = b"II*\0\x08\0\0\0" + bytes(len(exif) - 8)
    bombs = [
        png(1, 1, ROW, before=png_chunk(b"eXIf", exif)),
        png(1, 1, ROW, before=png_chunk(b"zTXt", b"a\0\0" + zeros) * 20),
        png(1, 1, ROW, before=png_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros) * 20),
        png(1, 1, ROW, before=png_chunk(b"tEXt", b"a\0" + bytes(1_000_000)) * 20),
        jpeg[:2] + segment * 300 + jpeg[2:],
        jpeg[:2] + b"\xff\xe2\xff\xff" + (b"MPF\0" + tag_bomb(2_700, 32_000)).ljust(65_533, b"\0") + jpeg[2:],
        b"RIFF" + struct.pack("<I", 4 + len(riff)) + b"WEBP" + riff,
        written(smooth(1, 1), "AVIF", exif=blank).replace(blank, exif),
    ]
    for bomb in bombs:
        with at_most_s(2.0):
            assert decode(bomb).shape == (1, 1, 3)


def test_a_directory_of_tags_that_share_a_block_costs_little() -> None:
    tags: Tags = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1}
    tags |= dict.fromkeys(range(40_000, 43_000), (0,) * 4)
    file = bytearray(tiff({**tags}, bytes(5_000_000)))
    for tag in range(40_000, 43_000):
        place = file.index(struct.pack("<HHI", tag, 4, 4))
        file[place : place + 12] = struct.pack("<HHII", tag, 7, 4_900_000, 1_000)
    with at_most_s(2.0):
        assert decode(bytes(file)).shape == (10, 10)


def test_millions_of_parts_are_refused_or_passed_over() -> None:
    gif = written(Image.fromarray(smooth()).quantize(8), "GIF")
    place = gif.index(b",\0\0\0\0\x28")
    webp = written(smooth(), "WEBP")
    chunks = webp[12:] + b"abcd\0\0\0\0" * 500_000
    jpeg = written(smooth(), "JPEG")
    many = [
        png(1, 1, ROW, before=png_chunk(b"IDAT", b"") * 1_000_000),
        png(1, 1, ROW, before=png_chunk(b"abCd", b"") * 130_000),
        gif[:place] + b"!\xfe" + b"\x01a" * 5_000_000 + b"\0" + gif[place:],
        gif[:place] + b"!\xfe\0" * 400_000 + gif[place:],
        gif[:-1] + b"!\xfe\0" * 2_000_000 + b";",
        gif[:-1] + bytes(10_000_000),
        b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks,
        jpeg[:2] + b"\xff\xe5\x00\x02" * 80_000 + jpeg[2:],
        jpeg[:-2] + b"\xff\xfe\x00\x02" * 80_000 + jpeg[-2:],
    ]
    for file in many:
        with at_most_s(2.0), suppress(BadInput):
            decode(file)


def test_run_lengths_of_a_bmp_are_read_while_they_are_few() -> None:
    def run_length_coded(width: int, height: int, runs: bytes) -> bytes:
        palette = b"".join(bytes([level, 0, 255 - level, 0]) for level in range(256))
        header = struct.pack("<IIiiHHIIiiII", 1078, 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
        return b"BM" + bytes(8) + header + palette + runs

    assert decode(run_length_coded(3, 2, b"\3\7\0\0\3\x09\0\1"))[:, 0].tolist() == [[246, 0, 9], [248, 0, 7]]
    for bomb in (
        run_length_coded(65_535, 700, b"\1\5\0\0" * 10_000),
        run_length_coded(2_000, 2_000, b"\0\2\0\0" * 5_000_000),
        run_length_coded(2_000, 2_000, b"\1\5\0\0" * 2_000),
    ):
        with at_most_s(4.0), suppress(BadInput):
            decode(bomb)


def test_every_file_of_the_hostile_collection_is_read_or_refused(shared: Path) -> None:
    files = sorted(it for it in (shared / "data" / "hostile").glob("*") if it.is_file())
    if not files:
        pytest.skip("there are no hostile files in shared/")
    for file in files:
        content = file.read_bytes()
        with at_most_s(4.0):
            try:
                pixels = decode(content)
            except BadInput:
                continue
        assert pixels.dtype == np.uint8, file.name
        assert pixels.ndim == 2 or pixels.shape[2] == 3, file.name
