"""Every limit of an image is refused by its own name, says how far it was passed, and lets its own value through."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from dataclasses import fields

import pytest
from PIL import Image

from tests.images.pictures import SRGB_D50, noise, png, png_chunk, rgb_profile, smooth, tiff, written
from virtual_codec.errors import (
    AnimatedImage,
    BadInput,
    ProfileTooLarge,
    TooManyScans,
    TooManySegments,
    UndecodableImage,
)
from virtual_codec.images import ImageLimits, decode, probe

PROFILE = rgb_profile(SRGB_D50, 2.2)
ROW = b"\0" * 4  # of a PNG of one pixel


def jpeg_of_segments(count: int) -> bytes:
    file = written(smooth(), "JPEG")
    own = file.count(b"\xff\xdb") + file.count(b"\xff\xc4") + 4  # tables, JFIF, frame, scan and the end
    return file[:2] + b"\xff\xe5\0\2" * (count - own) + file[2:]


def webp_of_chunks(count: int) -> bytes:
    chunks = written(smooth(), "WEBP")[12:] + b"abcd\0\0\0\0" * (count - 1)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def png_of_chunks(count: int) -> bytes:
    return png(1, 1, ROW, before=png_chunk(b"abCd", b"") * (count - 3))


def gif_of_blocks(count: int) -> bytes:
    file = written(Image.fromarray(smooth(4, 4)).quantize(4), "GIF")
    place = file.index(b",\0\0\0\0\4")
    return file[:place] + b"!\xfe" + b"\1a" * (count - 3) + b"\0" + file[place:]  # two are the picture's own


def tiff_of_tags(count: int) -> bytes:
    ordinary = {256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 0, 278: 2, 279: 4}
    private = dict.fromkeys(range(40_000, 40_000 + count - len(ordinary)), 7)
    del ordinary[273], ordinary[279]  # written anyway
    return tiff({**ordinary, **private}, bytes(4))


@pytest.mark.parametrize("make", [jpeg_of_segments, webp_of_chunks, png_of_chunks, gif_of_blocks, tiff_of_tags])
@pytest.mark.parametrize("limit", [50, 300])
def test_a_file_may_have_as_many_pieces_as_the_limit_and_no_more(make: object, limit: int) -> None:
    assert callable(make)
    limits = ImageLimits(max_segments=limit, max_chunks=limit, max_blocks=limit)
    assert probe(make(limit), limits=limits) == decode(make(limit), limits=limits).shape[1::-1]
    for read in (probe, decode):
        with pytest.raises(TooManySegments, match=f"more than {limit}") as caught:
            read(make(limit + 1), limits=limits)
        assert (caught.value.limit, caught.value.actual) == (limit, limit + 1)


def files_with(profile: bytes) -> dict[str, bytes]:
    picture = smooth()
    body = b"name\0\0" + zlib.compress(profile)
    files = {form: written(picture, form, icc_profile=profile) for form in ("JPEG", "WEBP", "TIFF", "AVIF")}
    return {**files, "PNG": png(1, 1, ROW, before=png_chunk(b"iCCP", body))}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_has_so_many_bytes_and_no_more(form: str) -> None:
    file = files_with(PROFILE)[form]
    decode(file, limits=ImageLimits(max_profile_bytes=len(PROFILE)))
    with pytest.raises(ProfileTooLarge) as caught:
        decode(file, limits=ImageLimits(max_profile_bytes=len(PROFILE) - 1))
    assert caught.value.limit == len(PROFILE) - 1
    assert caught.value.actual == len(PROFILE)


def test_a_profile_that_inflates_without_end_is_refused_by_its_size() -> None:
    bomb = png(1, 1, ROW, before=png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000))))
    for read in (probe, decode):
        with pytest.raises(ProfileTooLarge) as caught:
            read(bomb)
        assert (caught.value.limit, caught.value.actual) == (4 << 20, (4 << 20) + 1)


def test_text_that_inflates_without_end_is_not_even_looked_at() -> None:
    zeros = zlib.compress(bytes(100_000_000))
    for chunk in (png_chunk(b"zTXt", b"a\0\0" + zeros), png_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros)):
        assert decode(png(1, 1, ROW, before=chunk * 20)).shape == (1, 1, 3)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_one_frame_and_no_more(form: str) -> None:
    frames = [Image.fromarray(noise(16, 16)), Image.fromarray(noise(16, 16)[::-1].copy())]
    animated = written(frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(AnimatedImage) as caught:
        decode(animated)
    assert (caught.value.limit, caught.value.actual) == (1, 2)


def test_a_jpeg_may_have_as_many_scans_as_the_limit_and_no_more() -> None:
    file = written(noise(), "JPEG", progressive=True)
    assert decode(file, limits=ImageLimits(max_scans=10)).shape == (24, 40, 3)
    with pytest.raises(TooManyScans) as caught:
        probe(file, limits=ImageLimits(max_scans=9))
    assert (caught.value.limit, caught.value.actual) == (9, 10)


@pytest.mark.parametrize("name", [field.name for field in fields(ImageLimits)])
def test_a_limit_is_at_least_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        ImageLimits(**{name: 0})


# Cut short, and yet complete by the look of it.


def interlaced(height: int, rows: int) -> bytes:
    """A grey PNG of one column, interlaced: its passes by hand, cut after so many of its rows."""
    passes = [range(0, height, 8), range(4, height, 8), range(2, height, 4), range(1, height, 2)]
    lines = [bytes([0, 100 + row]) for rows_of_pass in passes for row in rows_of_pass]
    header = struct.pack(">IIBBBBB", 1, height, 8, 0, 0, 0, 1)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"".join(lines[:rows])))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_a_png_whose_deflate_stream_ends_early_is_refused(mode: str) -> None:
    kind, samples, depth = {
        "1": (0, 1, 1),
        "L": (0, 1, 8),
        "LA": (4, 2, 8),
        "RGB": (2, 3, 8),
        "RGBA": (6, 4, 8),
        "P": (3, 1, 8),
        "I;16": (0, 1, 16),
    }[mode]
    line = b"\0" + b"\xaa" * ((20 * samples * depth + 7) // 8)
    palette = png_chunk(b"PLTE", bytes(768)) if mode == "P" else b""
    assert decode(png(20, 30, line * 30, depth=depth, kind=kind, before=palette)).shape[:2] == (30, 20)
    for rows in (0, 1, 15, 29):
        with pytest.raises(BadInput):
            decode(png(20, 30, line * rows, depth=depth, kind=kind, before=palette))
    with pytest.raises(BadInput):
        decode(png(20, 30, (line * 30)[:-1], depth=depth, kind=kind, before=palette))


@pytest.mark.parametrize("height", [7, 8, 9, 16])
def test_an_interlaced_png_that_lacks_its_last_passes_is_refused(height: int) -> None:
    assert decode(interlaced(height, height))[:, 0].tolist() == list(range(100, 100 + height))
    for rows in range(height):
        with pytest.raises(BadInput):
            decode(interlaced(height, rows))


def test_a_black_picture_is_no_truncated_one() -> None:
    for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16"):
        black = Image.new(mode, (33, 17))
        assert decode(written(black, "PNG")).shape[:2] == (17, 33)
    assert decode(written(Image.new("L", (1, 1)), "PNG")).tolist() == [[0]]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_that_promises_more_blocks_than_its_bytes_can_hold_is_refused(options: dict[str, object]) -> None:
    file = written(smooth(), "JPEG", **options)
    promising = file.replace(struct.pack(">HH", 24, 40), struct.pack(">HH", 6_000, 7_000))
    for read in (probe, decode):
        with pytest.raises(UndecodableImage, match="cannot hold 7000x6000"):
            read(promising)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_one_colour_is_small_and_whole(mode: str, progressive: bool) -> None:
    flat = Image.new(mode, (1_999, 1_001))
    file = written(flat, "JPEG", optimize=True, progressive=progressive, quality=1)
    assert decode(file).shape[:2] == (1_001, 1_999)


def test_a_codec_sets_pillows_process_wide_settings_as_it_starts() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from PIL import Image, ImageFile\n"
        "before = Image.MAX_IMAGE_PIXELS, ImageFile.MAXBLOCK\n"
        "from virtual_codec.codec import VirtualCodec\n"
        "from virtual_codec.runner import DirectRunner\n"
        "from virtual_codec.store import default_model_store\n"
        "from virtual_codec.store import ModelStore\n"
        "assert (Image.MAX_IMAGE_PIXELS, ImageFile.MAXBLOCK) == before  # nothing is configured at import time\n"
        "VirtualCodec(ModelStore(default_model_store()), DirectRunner())\n"
        "assert Image.MAX_IMAGE_PIXELS > 50_000_000 and ImageFile.MAXBLOCK > 100 << 20\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
