"""Files that were made to hurt, or to be misread, and what becomes of each: made by code, small in bytes."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from PIL import Image

from tests.images.pictures import (
    SRGB_D50,
    exif_tiff,
    noise,
    png,
    png_chunk,
    rgb_profile,
    smooth,
    tag_bomb,
    tiff,
    written,
)
from virtual_codec import bitstream
from virtual_codec.bitstream import StreamHeader

EITHER = "either"  # a picture or a refusal: the standard leaves it open
_ROW = b"\0" * 4
_WIDTH, _HEIGHT = 40, 24


@final
@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, and what comes of it: `WIDTHxHEIGHT`, the code of a problem, or `EITHER`.

    `restores` says that it is /decompress's to do, not /compress's.
    """

    name: str
    file: bytes
    comes: str
    restores: bool = False


def cases(model: str) -> Iterator[Case]:
    """All of them. `model` is the id that forged streams may name."""
    yield from _unusual()
    yield from _turned()
    yield from _bombs()
    yield from _misleading()
    yield from _odd_jpegs()
    yield from _forged(model)


def _unusual() -> Iterator[Case]:
    """Variants that are read."""
    colour = Image.fromarray(smooth())
    size = f"{_WIDTH}x{_HEIGHT}"
    cmyk = written(colour.convert("CMYK"), "JPEG")
    adobe = cmyk.index(b"Adobe")
    ycck = cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :]
    wide = b"".join(b"\0" + bytes(6 * 10) for _ in range(9)) + b"\0" + b"\xff" * 60
    for name, file, comes in (
        ("cmyk", cmyk, size),
        ("ycck", ycck, size),
        ("16 bits grey", written(Image.fromarray(np.arange(960, dtype=np.uint16).reshape(24, 40)), "PNG"), size),
        ("16 bits colour", png(10, 10, wide, depth=16), "10x10"),
        ("1 bit", written(colour.convert("1"), "PNG"), size),
        ("interlaced gif", written(colour.quantize(16), "GIF", interlace=1), size),
        ("transparent palette", written(colour.quantize(16), "PNG", transparency=bytes(range(16))), size),
        ("transparent colour", written(colour, "PNG", transparency=(0, 0, 128)), size),
        ("grey and alpha", written(colour.convert("LA"), "PNG"), size),
        ("65535x1 png", written(noise(65_535, 1), "PNG"), "65535x1"),  # longer than JPEG decoders take
        ("65500x1 png", written(noise(65_500, 1), "PNG"), "65500x1"),
        ("1x65500 png", written(noise(1, 65_500), "PNG"), "1x65500"),
        ("65500x1 jpeg", written(noise(65_500, 1), "JPEG"), "65500x1"),
        ("1x65500 jpeg", written(noise(1, 65_500), "JPEG"), "1x65500"),
        ("65500x1 tiff", written(noise(65_500, 1), "TIFF", compression="tiff_lzw"), "65500x1"),
        ("1x65500 bmp", written(noise(1, 65_500), "BMP"), "1x65500"),
        ("16383x1 webp", written(noise(16_383, 1), "WEBP"), "16383x1"),
        ("1x1 of every kind", written(smooth(1, 1), "AVIF"), "1x1"),
        ("profile of another colour space", written(colour.convert("L"), "JPEG", icc_profile=_profile()), size),
        ("broken profile", written(colour, "JPEG", icc_profile=b"not a profile" * 50), size),
    ):
        yield Case(name=name, file=file, comes=comes)


def _turned() -> Iterator[Case]:
    for orientation in (*range(10), 255, 65_535):
        exif = b"Exif\0\0" + exif_tiff(orientation)
        comes = f"{_HEIGHT}x{_WIDTH}" if 5 <= orientation <= 8 else f"{_WIDTH}x{_HEIGHT}"
        for form in ("JPEG", "PNG", "WEBP"):
            file = written(smooth(), form, exif=exif)
            yield Case(name=f"{form.lower()} turned {orientation}", file=file, comes=comes)


def _bombs() -> Iterator[Case]:
    zeros = zlib.compress(bytes(50_000_000))
    jpeg, start = written(noise(512, 512), "JPEG", progressive=True, quality=20), written(smooth(), "JPEG")
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    gif = written(Image.fromarray(smooth()).quantize(8), "GIF")
    picture = gif.index(b",\0\0\0\0\x28")
    webp = written(smooth(), "WEBP", lossless=True)
    canvas = struct.pack("<4sII", b"VP8X", 10, 0) + b"\xfe\x3f\0\xfe\x3f\0"
    frames = {"save_all": True, "append_images": [Image.fromarray(noise())]}
    for name, file, comes in (
        ("scan bomb", jpeg[:-2] + scan * 2000 + b"\xff\xd9", "too_many_scans"),
        ("scan bomb without an end", jpeg[:-2] + scan * 2000, "too_many_scans"),
        ("header bomb png", png(60_000, 60_000, b"\0"), "too_many_pixels"),
        ("header bomb 2e9 png", png(2_000_000_000, 2_000_000_000, b"\0"), "too_many_pixels"),
        ("header bomb jpeg", start.replace(b"\0\x18\0\x28", b"\xff\xff\xff\xff"), "too_many_pixels"),
        ("header bomb gif", gif[:6] + b"\xff\xff\xff\xff" + gif[10:], "too_many_pixels"),
        ("header bomb gif frame", gif[: picture + 5] + b"\xff\xff\xff\xff" + gif[picture + 9 :], "too_many_pixels"),
        ("header bomb webp", _riff(canvas + webp[12:]), "too_many_pixels"),
        (
            "header bomb bmp",
            b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, 65_535, -65_535, 1, 24, 0) + bytes(30),
            "too_many_pixels",
        ),
        ("header bomb tiff", tiff({256: 65_535, 257: 65_535, 258: 8, 259: 1, 262: 1}, bytes(9)), "too_many_pixels"),
        ("side too long", png(65_536, 1, b"\0"), "side_too_long"),
        ("promise of 49 MP, 100 bytes", png(7_000, 7_000, b"\0"), "undecodable_image"),
        ("zip bomb of pixels", png(10, 10, bytes(50_000_000)), "10x10"),
        ("zip bomb of a profile", png(1, 1, _ROW, before=png_chunk(b"iCCP", b"a\0\0" + zeros)), "profile_too_large"),
        ("zip bomb of text", png(1, 1, _ROW, before=png_chunk(b"zTXt", b"a\0\0" + zeros) * 20), "1x1"),
        (
            "zip bomb of international text",
            png(1, 1, _ROW, before=png_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros) * 20),
            "1x1",
        ),
        (
            "zip bomb in a strip",
            tiff({256: 10, 257: 10, 258: 8, 259: 8, 262: 1}, zlib.compress(bytes(50_000_000))),
            "10x10",
        ),
        ("tags that share a block", png(1, 1, _ROW, before=png_chunk(b"eXIf", tag_bomb(60_000, 1_000_000))), "1x1"),
        ("segments", start[:2] + b"\xff\xe5\0\2" * 100_000 + start[2:], "too_many_segments"),
        ("chunks", png(1, 1, _ROW, before=png_chunk(b"abCd", b"") * 200_000), "too_many_segments"),
        ("chunks of a webp", _riff(webp[12:] + b"abcd\0\0\0\0" * 100_000), "too_many_segments"),
        ("blocks", gif[:picture] + b"!\xfe" + b"\1a" * 2_000_000 + b"\0" + gif[picture:], "too_many_segments"),
        ("fill bytes", start[:20] + b"\xff" * 10_000_000 + start[20:], f"{_WIDTH}x{_HEIGHT}"),
        ("apng", written(smooth(), "PNG", **frames), "animated_image"),
        ("animated gif", written(smooth(), "GIF", **frames), "animated_image"),
        ("animated webp", written(smooth(), "WEBP", **frames), "animated_image"),
        ("animated avif", written(smooth(), "AVIF", **frames), "animated_image"),
        ("pages", written(smooth(), "TIFF", **frames), "animated_image"),
    ):
        yield Case(name=name, file=file, comes=comes)


def _misleading() -> Iterator[Case]:
    """What is one thing and looks like another, or is two."""
    size = f"{_WIDTH}x{_HEIGHT}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../../etc/passwd", b"x")
    for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"):
        file = written(smooth(), form)
        for name, tail in (("zeros", bytes(100_000)), ("an archive", archive.getvalue()), ("a second file", file)):
            yield Case(name=f"{form.lower()} and {name}", file=file + tail, comes=size)
        yield Case(name=f"half a {form.lower()}", file=file[: len(file) // 2], comes="undecodable_image")
    for name, options in (
        ("baseline", {}),
        ("progressive", {"progressive": True}),
        ("restarts", {"restart_marker_blocks": 1}),
    ):
        cut = written(noise(), "JPEG", **options)[:-20] + b"\xff\xd9"
        yield Case(name=f"{name} jpeg, cut and closed again", file=cut, comes="undecodable_image")
    jpeg = written(smooth(), "JPEG", comment=b"<script>alert(1)</script>")
    for name, file, comes in (
        ("script in a comment", jpeg, size),
        ("nothing", b"", "empty_body"),
        ("html", b"<html><img src=http://127.0.0.1/></html>", "unsupported_format"),
        ("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported_format"),
        ("postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "unsupported_format"),
        ("pdf", b"%PDF-1.7\n", "unsupported_format"),
        ("playlist", b"#EXTM3U\nhttp://127.0.0.1/x.ts", "unsupported_format"),
        ("icon", b"\0\0\1\0\1\0\1\1\0\0\1\0\x20\0", "unsupported_format"),
        ("netpbm", b"P6 1 1 255 abc", "unsupported_format"),
        ("archive", archive.getvalue(), "unsupported_format"),
        ("gif and html", b"GIF89a/*" + b"*/=1;//" * 9, "too_many_pixels"),
        ("empty jpeg", b"\xff\xd8\xff\xd9", "undecodable_image"),
        ("html in front", b"<html>" + jpeg, "unsupported_format"),
    ):
        yield Case(name=name, file=file, comes=comes)


def _odd_jpegs() -> Iterator[Case]:
    """Processes that are not read, restarts and scans where none belong."""
    jpeg, size = written(smooth(), "JPEG"), f"{_WIDTH}x{_HEIGHT}"
    frame, scan = jpeg.index(b"\xff\xc0"), jpeg.index(b"\xff\xda")
    restarts = written(smooth(), "JPEG", restart_marker_blocks=1)
    for marker, name in (
        (0xC3, "lossless"),
        (0xC5, "hierarchical"),
        (0xC7, "hierarchical lossless"),
        (0xCB, "arithmetic lossless"),
    ):
        file = jpeg[: frame + 1] + bytes([marker]) + jpeg[frame + 2 :]
        yield Case(name=f"{name} jpeg", file=file, comes="undecodable_image")
    for bits in (1, 2, 12, 16, 255):
        file = jpeg[: frame + 4] + bytes([bits]) + jpeg[frame + 5 :]
        yield Case(name=f"jpeg of {bits} bits", file=file, comes="undecodable_image")
    for name, file, comes in (
        ("no restarts where they are promised", jpeg[:scan] + b"\xff\xdd\0\4\0\1" + jpeg[scan:], None),
        ("restarts nobody promised", jpeg[: scan + 14] + b"\xff\xd0" * 5_000 + jpeg[scan + 14 :], None),
        ("restarts out of order", restarts.replace(b"\xff\xd1", b"\xff\xd6"), None),
        ("a million restarts", restarts[:-2] + b"\xff\xd0" * 1_000_000 + b"\xff\xd9", None),
        ("tables without end", jpeg[:scan] + (b"\xff\xdb\0\x43\0" + b"\1" * 64) * 3_000 + jpeg[scan:], size),
        (
            "a frame in a thumbnail",
            jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(jpeg)) + b"Exif\0\0" + jpeg + jpeg[2:],
            size,
        ),
        ("two frames", jpeg[:scan] + jpeg[frame : frame + 19] + jpeg[scan:], "undecodable_image"),
        ("no tables", jpeg.replace(b"\xff\xdb", b"\xff\xef"), "undecodable_image"),
        ("no huffman tables", jpeg.replace(b"\xff\xc4", b"\xff\xef"), None),
        ("a scan before the frame", jpeg[:2] + jpeg[scan:], "undecodable_image"),
    ):
        yield Case(name=name, file=file, comes=comes or EITHER)


def _forged(model: str) -> Iterator[Case]:
    """Streams whose segment lies."""
    jpeg = written(smooth(), "JPEG")

    def stream(**changes: object) -> bytes:
        fields: dict[str, object] = {"model": model, "scale": 2, "width_remainder": 2, "height_remainder": 2}
        return bitstream.insert(jpeg, StreamHeader(**(fields | changes)))  # type: ignore[arg-type]

    honest = stream()
    segment = honest.index(b"VCDC") - 4
    huge = bitstream.insert(
        written(Image.new("L", (5_000, 5_000)), "JPEG"),
        StreamHeader(model=model, scale=16, width_remainder=4, height_remainder=4),
    )
    large = Image.new("L", (2_000, 2_000))
    doubled = honest[:segment] + honest[segment : segment + 15] * 2 + honest[segment + 15 :]
    for name, file, comes in (
        ("honest stream", honest, f"{2 * _WIDTH}x{2 * _HEIGHT}"),
        ("stream of a model nobody has", stream(model="deadbeef"), "unknown_stream_model"),
        ("stream of a scale nobody has", stream(scale=16, width_remainder=4, height_remainder=4), "bad_stream"),
        ("stream that claims 80,000 x 80,000", huge, "too_many_pixels"),
        (
            "stream just above the limit",
            bitstream.insert(
                written(large, "JPEG"), StreamHeader(model=model, scale=4, width_remainder=4, height_remainder=4)
            ),
            "too_many_pixels",
        ),
        ("stream with two segments", doubled, "bad_stream"),
        ("stream cut in its segment", honest[: segment + 10], "undecodable_image"),
        ("stream cut in its data", honest[:-40], "undecodable_image"),
        ("stream cut in its data and closed again", honest[:-20] + b"\xff\xd9", "undecodable_image"),
        (
            "stream of cmyk",
            bitstream.insert(
                written(Image.fromarray(smooth()).convert("CMYK"), "JPEG"),
                StreamHeader(model=model, scale=2, width_remainder=1, height_remainder=1),
            ),
            "bad_stream",
        ),
        (
            "segment behind the first scan",
            jpeg[:-2] + honest[segment : segment + 15] + jpeg[-2:],
            f"{_WIDTH}x{_HEIGHT}",
        ),
        ("png with our segment", written(smooth(), "PNG") + honest[segment : segment + 15], "unsupported_format"),
    ):
        yield Case(name=name, file=file, comes=comes, restores=True)
    for place in range(segment + 8, segment + 15):  # the signature itself makes it somebody else's
        for bit in range(8):
            yield Case(
                name=f"bit {bit} of byte {place - segment} of the segment",
                file=_flipped(honest, place, bit),
                comes="bad_stream",
                restores=True,
            )
    for place in range(2, honest.index(b"\xff\xda") + 14):
        file = _flipped(honest, place, 5 * place % 8)
        yield Case(name=f"a wrong bit in byte {place} of the stream", file=file, comes=EITHER, restores=True)


def _flipped(file: bytes, place: int, bit: int) -> bytes:
    damaged = bytearray(file)
    damaged[place] ^= 1 << bit
    return bytes(damaged)


def _riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _profile() -> bytes:
    return rgb_profile(SRGB_D50, 2.2)
