"""Mutations that know where files have their joints, so that what is wrong is wrong deep inside."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from random import Random
from typing import Final, Literal

from virtual_codec import bitstream
from virtual_codec.errors import BadInput

Mutation = Callable[[bytearray, Random], None]

_NUMBERS: Final = (
    0,
    1,
    2,
    7,
    8,
    15,
    16,
    64,
    127,
    128,
    255,
    256,
    4095,
    4096,
    32_767,
    32_768,
    65_535,
    2**31 - 1,
    2**32 - 1,
)
_MARKERS: Final = (
    0xC0,
    0xC1,
    0xC2,
    0xC3,
    0xC4,
    0xC9,
    0xCC,
    0xD0,
    0xD7,
    0xD8,
    0xD9,
    0xDA,
    0xDB,
    0xDC,
    0xDD,
    0xE1,
    0xEB,
    0xFE,
)


def mutate(file: bytes, random: Random, *, most_bytes: int = 1 << 16) -> bytes:
    """The file with one to four things wrong with it."""
    mutated = bytearray(file)
    for _ in range(random.choice((1, 1, 2, 4))):
        kinds = [*_ANYWHERE, *_BY_FORMAT.get(_format(mutated), ()) * 2]
        random.choice(kinds)(mutated, random)
    return bytes(mutated[:most_bytes])


def _format(file: bytearray) -> str:
    for prefix, name in (
        (b"\xff\xd8", "jpeg"),
        (b"\x89PNG", "png"),
        (b"RIFF", "webp"),
        (b"II", "tiff"),
        (b"MM", "tiff"),
    ):
        if file.startswith(prefix):
            return name
    return "avif" if file[4:8] == b"ftyp" else ""


# Anywhere.


def _set_byte(file: bytearray, random: Random) -> None:
    if file:
        file[random.randrange(len(file))] = random.randrange(256)


def _flip_bit(file: bytearray, random: Random) -> None:
    if file:
        file[random.randrange(len(file))] ^= 1 << random.randrange(8)


def _set_number(file: bytearray, random: Random) -> None:
    size = random.choice((1, 2, 4))
    if len(file) >= size:
        place = random.randrange(len(file) - size + 1)
        number = random.choice(_NUMBERS) & (1 << 8 * size) - 1
        file[place : place + size] = number.to_bytes(size, random.choice(("big", "little")))


def _cut(file: bytearray, random: Random) -> None:
    del file[random.randrange(len(file) + 1) :]


def _drop(file: bytearray, random: Random) -> None:
    start = random.randrange(len(file) + 1)
    del file[start : start + random.choice((1, 2, 4, 30))]


def _repeat(file: bytearray, random: Random) -> None:
    start = random.randrange(len(file) + 1)
    piece = bytes(file[start : start + random.choice((1, 4, 16, 100))])
    file[start:start] = piece * random.choice((1, 2, 50))


def _append(file: bytearray, random: Random) -> None:
    file += random.randbytes(random.choice((1, 16, 300)))


# JPEG.


def _jpeg_pieces(file: bytearray) -> list[bytes]:
    """Start, segments and what stands between them, in their order."""
    pieces, position = [], 0
    with contextlib.suppress(BadInput):  # whatever could be read is enough
        for segment in bitstream.leading_segments(bytes(file)):
            pieces += [bytes(file[position : segment.start]), bytes(file[segment.start : segment.end])]
            position = segment.end
    return [*pieces, bytes(file[position:])]


def _shuffle_segments(file: bytearray, random: Random) -> None:
    pieces = _jpeg_pieces(file)
    one, other = random.randrange(len(pieces)), random.randrange(len(pieces))
    match random.randrange(3):
        case 0:
            pieces[one], pieces[other] = pieces[other], pieces[one]
        case 1:
            pieces.insert(one, pieces[other])
        case _:
            del pieces[one]
    file[:] = b"".join(pieces)


def _insert_segment(file: bytearray, random: Random) -> None:
    body = random.choice(
        (b"", b"VCDC", b"Exif\0\0II*\0\10\0\0\0", b"ICC_PROFILE\0\1\1", b"Adobe\0d\0\0\0\0\2", b"JFIF\0")
    )
    body += random.randbytes(random.choice((0, 1, 9, 64)))
    length = len(body) + 2 + random.choice((0, 0, 0, -1, 1, 60_000))
    segment = bytes([0xFF, random.choice(_MARKERS)]) + (length & 0xFFFF).to_bytes(2, "big") + body
    place = random.choice((2, 2, random.randrange(len(file) + 1)))
    file[place:place] = segment


def _insert_marker(file: bytearray, random: Random) -> None:
    scans = file.find(b"\xff\xda")
    place = random.randrange(max(2, scans), len(file) + 1) if len(file) > 2 else len(file)
    file[place:place] = bytes([0xFF, random.choice(_MARKERS)]) * random.choice((1, 1, 3))


def _forge_header(file: bytearray, random: Random) -> None:
    scale = random.randint(1, 16)
    header = bitstream.StreamHeader(
        model=random.choice(("4f6c3978", "00000000", random.randbytes(4).hex())),
        scale=scale,
        width_remainder=random.randint(1, min(scale, 4)),
        height_remainder=random.randint(1, min(scale, 4)),
        show_decoded=random.random() < 0.5,
        grey_as_colour=random.random() < 0.5,
    )
    file[2:2] = bitstream.pack(header)


def _repeat_scan(file: bytearray, random: Random) -> None:
    start = file.rfind(b"\xff\xda")
    if start >= 0:
        end = len(file) - 2 if file.endswith(b"\xff\xd9") else len(file)
        file[end:end] = bytes(file[start:end]) * random.choice((1, 5, 70))


def _change_frame(file: bytearray, random: Random) -> None:
    for marker in (0xC0, 0xC2):
        place = file.find(bytes([0xFF, marker]))
        if place >= 0 and place + 10 < len(file):
            offset = random.randrange(1, 19)
            if place + offset < len(file):
                file[place + offset] = random.choice(
                    (0, 1, 2, 3, 4, 8, 12, 0x11, 0x22, 0x41, 0x44, 0xC1, 0xC3, 0xC9, 255)
                )
            return


# PNG.


def _png_chunks(file: bytearray) -> list[tuple[bytes, bytes]]:
    chunks: list[tuple[bytes, bytes]] = []
    position = 8
    while position + 12 <= len(file) and len(chunks) < 200:
        length = int.from_bytes(file[position : position + 4], "big")
        chunks.append((bytes(file[position + 4 : position + 8]), bytes(file[position + 8 : position + 8 + length])))
        position += 12 + length
    return chunks


def _write_png(file: bytearray, chunks: list[tuple[bytes, bytes]]) -> None:
    written = [
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big")
        for name, body in chunks
    ]
    file[8:] = b"".join(written)


def _change_chunk(file: bytearray, random: Random) -> None:
    """One chunk with something wrong, and a right checksum."""
    if chunks := _png_chunks(file):
        index = random.randrange(len(chunks))
        name, body = chunks[index]
        changed = bytearray(body)
        random.choice((_set_byte, _flip_bit, _set_number, _cut, _repeat))(changed, random)
        chunks[index] = (name, bytes(changed))
        _write_png(file, chunks)


def _shuffle_chunks(file: bytearray, random: Random) -> None:
    if chunks := _png_chunks(file):
        one, other = random.randrange(len(chunks)), random.randrange(len(chunks))
        match random.randrange(4):
            case 0:
                chunks[one], chunks[other] = chunks[other], chunks[one]
            case 1:
                chunks.insert(one, chunks[other])
            case 2:
                del chunks[one]
            case _:
                names = (
                    b"acTL",
                    b"fcTL",
                    b"fdAT",
                    b"iCCP",
                    b"zTXt",
                    b"iTXt",
                    b"eXIf",
                    b"tRNS",
                    b"gAMA",
                    b"PLTE",
                    b"IHDR",
                )
                chunks.insert(one, (random.choice(names), random.randbytes(random.choice((0, 1, 8, 26)))))
        _write_png(file, chunks)


def _change_pixels(file: bytearray, random: Random) -> None:
    """Other filters and values, deflated again."""
    chunks = _png_chunks(file)
    try:
        rows = bytearray(zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT")))
    except zlib.error:
        return
    random.choice((_set_byte, _cut, _repeat))(rows, random)
    index = next(index for index, (name, _) in enumerate(chunks) if name == b"IDAT")
    rest = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    rest.insert(index, (b"IDAT", zlib.compress(bytes(rows))))
    _write_png(file, rest)


# Containers of chunks and tags.


def _change_riff(file: bytearray, random: Random) -> None:
    """A chunk of another size or name; the container around it is made to fit, most times."""
    places: list[int] = []
    position = 12
    while position + 8 <= len(file) and len(places) < 50:
        places.append(position)
        position += 8 + int.from_bytes(file[position + 4 : position + 8], "little") // 2 * 2
    if places:
        place = random.choice(places)
        if random.random() < 0.5:
            file[place : place + 4] = random.choice(
                (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP")
            )
        else:
            _set_number(view := bytearray(file[place + 4 : place + 8]), random)
            file[place + 4 : place + 8] = view
    if random.random() < 0.8 and len(file) >= 12:
        file[4:8] = (len(file) - 8).to_bytes(4, "little")


def _change_tag(file: bytearray, random: Random) -> None:
    """One entry of a TIFF's first directory: another tag, kind, count or value."""
    order: Literal["little", "big"] = "little" if file.startswith(b"II") else "big"
    start = int.from_bytes(file[4:8], order)
    count = int.from_bytes(file[start : start + 2], order)
    place = start + 2 + 12 * random.randrange(max(1, min(count, 30)))
    if place + 12 <= len(file):
        offset, size = random.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 2)))
        tags = (
            254,
            256,
            257,
            258,
            259,
            262,
            273,
            274,
            277,
            278,
            279,
            284,
            317,
            322,
            323,
            324,
            338,
            339,
            347,
            530,
            34_675,
        )
        numbers = {0: tags, 2: tuple(range(19))}.get(offset, (*_NUMBERS, 5, 6, 32_946, 50_000, len(file)))
        file[place + offset : place + offset + size] = (random.choice(numbers) & (1 << 8 * size) - 1).to_bytes(
            size, order
        )


def _change_box(file: bytearray, random: Random) -> None:
    """The size or the contents of one box of an AVIF."""
    names = (b"ftyp", b"meta", b"hdlr", b"pitm", b"iloc", b"iinf", b"infe", b"iprp", b"ipco", b"ispe", b"pixi", b"av1C")
    place = file.find(random.choice((*names, b"colr", b"ipma", b"mdat", b"irot", b"imir", b"Exif")))
    if place >= 4:
        start = random.choice((place - 4, place - 4, place, place + 4))
        view = bytearray(file[start : start + 12])
        random.choice((_set_byte, _flip_bit, _set_number))(view, random)
        file[start : start + 12] = view


def _change_marker_segment(file: bytearray, random: Random) -> None:
    """A byte or a number of a marker segment of a JPEG 2000's headers."""
    place = file.find(
        random.choice((b"\xff\x51", b"\xff\x52", b"\xff\x5c", b"\xff\x90", b"\xff\x93", b"jp2h", b"ihdr"))
    )
    if place >= 0:
        view = bytearray(file[place : place + 48])
        random.choice((_set_byte, _flip_bit, _set_number))(view, random)
        file[place : place + 48] = view


_ANYWHERE: Final[tuple[Mutation, ...]] = (_set_byte, _flip_bit, _set_number, _cut, _drop, _repeat, _append)
_BY_FORMAT: Final[dict[str, tuple[Mutation, ...]]] = {
    "jpeg": (_shuffle_segments, _insert_segment, _insert_marker, _forge_header, _repeat_scan, _change_frame, _set_byte),
    "png": (_change_chunk, _change_chunk, _shuffle_chunks, _change_pixels),
    "webp": (_change_riff,),
    "tiff": (_change_tag,),
    "avif": (_change_box,),
    "jpeg2000": (_change_marker_segment, _change_marker_segment, _change_box),
}
