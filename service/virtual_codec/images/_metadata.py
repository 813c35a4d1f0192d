"""Metadata of image files (EXIF and XMP): read from inputs and streams, written into streams and restored files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image

from virtual_codec.bitstream import JP2_EXIF, JP2_XMP, leading_segments, uuid_bodies
from virtual_codec.errors import BadOption, UndecodableImage
from virtual_codec.images._exif_rewrite import rewrite_exif
from virtual_codec.images._limits import DEFAULT_LIMITS
from virtual_codec.images._sniff import sniff
from virtual_codec.images._tiff_directory import TiffReader
from virtual_codec.images._xmp import rewrite_xmp
from virtual_codec.jobs import MetadataChoice

_APP0, _APP1 = 0xE0, 0xE1
_EXIF_HEAD: Final = b"Exif\0\0"
_XMP_HEAD: Final = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_KEYWORD: Final = b"XML:com.adobe.xmp\0"
_XMP_TAG: Final = 700
_MAX_SEGMENT_BYTES: Final = 65_533  # a segment's length, which counts itself, has 16 bits
_MAX_INFLATED_BYTES: Final = 1 << 20
_PNG_HEADER_BYTES: Final = 33  # signature and IHDR


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """EXIF data (a TIFF file, without the `Exif` prefix) and an XMP packet, each or None."""

    exif: bytes | None = None
    xmp: bytes | None = None


def read_metadata(image: bytes, choice: MetadataChoice) -> Metadata:
    """Read the chosen metadata of a valid image file, rewritten for its upright picture.

    `exif` and `xmp` drop location and maker notes. Raises `UndecodableImage` for damaged metadata.
    """
    if choice == "none":
        return Metadata()
    found = stored_metadata(image)
    is_complete = choice == "all"
    exif = rewrite_exif(found.exif, is_complete=is_complete) if found.exif and choice != "xmp" else None
    xmp = rewrite_xmp(found.xmp, is_complete=is_complete) if found.xmp and choice != "exif" else None
    return Metadata(exif=exif, xmp=xmp)


def metadata_of_stream(stream: bytes) -> Metadata:
    """Metadata of a stream, unchanged."""
    if not stream.startswith(b"\xff\xd8"):
        return stored_metadata(stream)
    bodies = [
        stream[segment.start + 4 : segment.end] for segment in leading_segments(stream) if segment.marker == _APP1
    ]
    return Metadata(
        exif=next((body[len(_EXIF_HEAD) :] for body in bodies if body.startswith(_EXIF_HEAD)), None),
        xmp=next((body[len(_XMP_HEAD) :] for body in bodies if body.startswith(_XMP_HEAD)), None),
    )


def metadata_segments(metadata: Metadata) -> bytes:
    """JPEG segments of metadata. Raises `BadOption` if one is too large for a segment."""
    segments = []
    for name, head, body in (("EXIF", _EXIF_HEAD, metadata.exif), ("XMP", _XMP_HEAD, metadata.xmp)):
        if body is None:
            continue
        if len(head) + len(body) > _MAX_SEGMENT_BYTES:
            raise BadOption(
                f"the image has {len(body)} bytes of {name} data, but a JPEG holds {_MAX_SEGMENT_BYTES - len(head)}; "
                f"drop it with another value of `metadata`",
                limit=_MAX_SEGMENT_BYTES - len(head),
                actual=len(body),
            )
        segments.append(struct.pack(">BBH", 0xFF, _APP1, 2 + len(head) + len(body)) + head + body)
    return b"".join(segments)


def insert_segments(stream: bytes, segments: bytes) -> bytes:
    """Insert segments into a JPEG stream, after its JFIF segment."""
    first = next(leading_segments(stream), None)
    position = first.end if first is not None and first.marker == _APP0 and first.start == 2 else 2
    return stream[:position] + segments + stream[position:]


def add_to_png(png: bytes, metadata: Metadata) -> bytes:
    """Add metadata to a PNG that has none."""
    chunks = []
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp is not None:
        chunks.append((b"iTXt", _XMP_KEYWORD + bytes(4) + metadata.xmp))
    packed = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return png[:_PNG_HEADER_BYTES] + b"".join(packed) + png[_PNG_HEADER_BYTES:]


def stored_metadata(image: bytes, *, inflates: bool = True) -> Metadata:
    """Metadata of an image file, unchanged. GIF and BMP have none.

    XMP data of a PNG, which may be compressed, stays compressed if `inflates` is false. Raises `UndecodableImage` for
    damaged data.
    """
    match sniff(image):
        case "jpeg":
            return metadata_of_stream(image)
        case "png":
            return _png_metadata(image, inflates=inflates)
        case "webp":
            chunks = dict(_webp_chunks(image))
            exif = chunks.get(b"EXIF")
            return Metadata(exif=exif.removeprefix(_EXIF_HEAD) if exif else None, xmp=chunks.get(b"XMP "))
        case "tiff":
            reader = TiffReader(image, DEFAULT_LIMITS)
            xmp = reader.directory(reader.first)[0].get(_XMP_TAG)
            return Metadata(exif=image, xmp=None if xmp is None else reader.content(xmp))
        case "avif":
            with Image.open(io.BytesIO(image), formats=("AVIF",)) as opened:
                exif, packet = opened.info.get("exif"), opened.info.get("xmp")
            return Metadata(exif=exif.removeprefix(_EXIF_HEAD) if exif else None, xmp=packet)
        case "jpeg2000":
            exif, packet = (next(iter(uuid_bodies(image, uuid)), None) for uuid in (JP2_EXIF, JP2_XMP))
            return Metadata(exif=exif, xmp=packet)
        case _:
            return Metadata()


def _png_metadata(image: bytes, *, inflates: bool) -> Metadata:
    exif = xmp = None
    position = 8
    while position + 12 <= len(image):
        end = position + 12 + int.from_bytes(image[position : position + 4], "big")
        name, body = image[position + 4 : position + 8], slice(position + 8, end - 4)
        if name == b"eXIf" and exif is None:
            exif = image[body]
        elif name == b"iTXt" and xmp is None and image.startswith(_XMP_KEYWORD, position + 8):
            text = image[body][len(_XMP_KEYWORD) :]
            xmp = _international_text(text) if inflates else text
        position = end
    return Metadata(exif=exif, xmp=xmp)


def _international_text(body: bytes) -> bytes:
    """Text of an iTXt chunk, from its compression flag on."""
    is_compressed, (_, _, text) = body[:1] == b"\1", body[2:].split(b"\0", 2) if body.count(b"\0", 2) > 1 else [b""] * 3
    if not is_compressed:
        return text
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(text, _MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise UndecodableImage("the XMP data is damaged; metadata=none leaves it out") from error
    if not inflater.eof:
        raise UndecodableImage(f"the XMP data has more than {_MAX_INFLATED_BYTES} bytes; metadata=none leaves it out")
    return inflated


def _webp_chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(image):
        size = int.from_bytes(image[position + 4 : position + 8], "little")
        name = image[position : position + 4]
        if name in (b"EXIF", b"XMP "):
            yield name, image[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
