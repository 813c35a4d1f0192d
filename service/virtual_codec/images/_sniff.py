"""Image format of a file by its first bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from virtual_codec.errors import BadOption, EmptyInput, UnsupportedFormat

_PREFIXES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "jpeg2000",
    b"\xff\x4f\xff\x51": "jpeg2000",
}

# Titles of the formats whose artefacts can be removed.
RESTORABLE: Final[Mapping[str, str]] = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "jpeg2000": "JPEG 2000"}
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


def check_codec(codec: str) -> None:
    """Check that a codec is one of `RESTORABLE`. Raises `BadOption`."""
    if codec not in RESTORABLE:
        raise BadOption(f"codec must be one of {', '.join(sorted(RESTORABLE))}, got {codec[:40]!r}")


def sniff(image: bytes) -> str:
    """Name of a file's format by its first bytes: png, jpeg, webp, tiff, bmp, gif, avif or jpeg2000.

    Raises `EmptyInput` for no bytes and `UnsupportedFormat` for any other format.
    """
    if not image:
        raise EmptyInput("the input is empty; send an image")
    for prefix, name in _PREFIXES.items():
        if image.startswith(prefix):
            return name
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "webp"
    if image[4:8] == b"ftyp":
        brands = image[8 : min(int.from_bytes(image[:4], "big"), 256)]
        if any(brands[offset : offset + 4] in (b"avif", b"avis") for offset in range(0, len(brands), 4)):
            return "avif"
        if any(brands[offset : offset + 4] in _HEIC_BRANDS for offset in range(0, len(brands), 4)):
            raise UnsupportedFormat(
                "HEIC images are not supported; export the photo as JPEG or PNG first, or let the phone save JPEGs "
                '(iPhone: Settings, Camera, Formats, "Most Compatible")'
            )
    raise UnsupportedFormat("the input is not a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000 image")
