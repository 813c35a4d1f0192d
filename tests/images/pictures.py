"""Pictures, files and profiles that the tests of images are made of."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

SRGB_D50 = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
WIDE_D50 = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])


def noise(width: int = 40, height: int = 24, channels: int = 3) -> Pixels:
    """[H, W, C] of any values, or [H, W] for no channels: whatever is mixed up shows."""
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(width * height).integers(0, 256, shape, np.uint8)


def smooth(width: int = 40, height: int = 24) -> Pixels:
    """[H, W, 3] that lossy formats keep well, different in every corner."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=-1).astype(np.uint8)


def written(picture: Pixels | Image.Image, form: str, **options: object) -> bytes:
    """A file of the picture, by Pillow."""
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, form, **options)
    return file.getvalue()


def by_pillow(file: bytes) -> Image.Image:
    """The file as Pillow alone reads it."""
    image = Image.open(io.BytesIO(file))
    image.load()
    return image


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, kind: int = 2, before: bytes = b"") -> bytes:
    """A PNG by hand: `rows` unfiltered, each after its zero, and `before` them whatever chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


Tags = dict[int, int | tuple[int, ...]]


def tiff(tags: Tags, data: bytes, *, order: str = "<") -> bytes:
    """A TIFF by hand, all tags LONG, its pixels in one strip of `data` at the end."""
    standard: Tags = {273: 0, 278: 1 << 30, 279: len(data)}
    merged = standard | tags
    place = 8 + 2 + 12 * len(merged) + 4
    merged[273] = place + sum(4 * len(it) for it in merged.values() if isinstance(it, tuple))
    entries = wide = b""
    for tag, value in sorted(merged.items()):
        if isinstance(value, tuple):
            entries += struct.pack(f"{order}HHII", tag, 4, len(value), place + len(wide))
            wide += struct.pack(f"{order}{len(value)}I", *value)
        else:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}IH", 8, len(merged)) + entries + bytes(4) + wide + data


def exif_tiff(orientation: int, *, order: str = "<") -> bytes:
    """EXIF data that tells an orientation and nothing else."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return start + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def tag_bomb(tags: int, block: int) -> bytes:
    """EXIF data whose every tag holds one and the same block."""
    entries = b"".join(struct.pack("<HHII", tag, 7, block, 0) for tag in range(1, tags + 1))
    return struct.pack("<2sHIH", b"II", 42, 8, tags) + entries + bytes(block)


def rgb_profile(to_xyz: NDArray[np.float64], gamma: float) -> bytes:
    """An ICC profile of a display with these primaries (columns, D50) and this gamma."""
    columns = {name: _xyz(to_xyz[:, index]) for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))
    return _profile(b"mntr", b"RGB ", b"XYZ ", columns | curves)


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of a grey display."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """An ICC profile of a printer whose every ink prints red, whatever its name, on white paper."""
    corners = b"".join(b"\xff\x80\x80" if not inks else b"\x88\xd0\xc3" for inks in range(16))  # Lab, 8 bits
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + corners + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table, b"A2B1": table})


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"made for a test"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(79),
        b"cprt": b"text" + bytes(4) + text + b"\0",
        b"wtpt": _xyz(np.array([0.9642, 1.0, 0.8249])),
    } | tags
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, tag in tags.items():
        padded = tag + bytes(-len(tag) % 4)
        table += name + struct.pack(">II", place + len(body), len(tag))
        body += padded
    header = bytes(8) + struct.pack(">I", 0x02400000) + device + space + connection + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    header = header.ljust(128, b"\0")
    whole = header + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
