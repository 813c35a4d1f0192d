"""Header of this project in WebP, AVIF and JPEG 2000 files: a RIFF chunk or a `uuid` box after the picture.

    WebP               "VCDC" | 11 0 0 0 | body, 11 bytes | 0
    AVIF, JPEG 2000    0 0 0 23 | "uuid" | UUID, 16 bytes | body, 11 bytes

where 23 is 35 in hexadecimal. The body is defined in `virtual_codec.bitstream._segment`. A WebP without a VP8X chunk
gets one, because files with additional chunks must have it.
"""

from __future__ import annotations

from typing import Final

from virtual_codec.bitstream._boxes import boxes, uuid_bodies, uuid_box
from virtual_codec.bitstream._quantisation import CodecName
from virtual_codec.bitstream._riff import MAX_CHUNKS, Chunk, chunks, riff
from virtual_codec.bitstream._segment import BODY_BYTES, StreamHeader, pack_body, unpack_body
from virtual_codec.errors import BadStream, UndecodableImage

UUID: Final = bytes.fromhex("8d3b5f0e6c1947a2b5e4566364630001")  # in each file's "uuid" box
_CHUNK: Final = b"VCDC"
_BOX_BYTES: Final = 8 + len(UUID) + BODY_BYTES
_VP8X_BYTES: Final = 18
ATTACHED_BYTES: Final[dict[CodecName, int]] = {
    "webp": _VP8X_BYTES + 8 + BODY_BYTES + BODY_BYTES % 2,
    "avif": _BOX_BYTES,
    "jpeg2000": _BOX_BYTES,
}


def attach(file: bytes, header: StreamHeader, codec: CodecName) -> bytes:
    """File with a header after its picture, at most `ATTACHED_BYTES` longer.

    Raises `BadStream` if the file already has a header, `UndecodableImage` if it is not of that codec.
    """
    if _bodies(file, codec):
        raise BadStream("the stream already has a VCDC header; detach it first")
    body = pack_body(header)
    if codec == "webp":
        found = chunks(file)
        if not found or found[0].kind not in (b"VP8X", b"VP8 "):
            raise UndecodableImage("the WebP is damaged: it does not begin with a picture")
        if found[0].kind == b"VP8 ":
            found = [Chunk(b"VP8X", _extended(found[0].body)), *found]
        return riff([*found, Chunk(_CHUNK, body)])
    end = max((box.end for box in boxes(file)), default=0)
    stream = file[:end] + uuid_box(UUID, body) + file[end:]
    if end == 0 or not _bodies(stream, codec):  # no boxes, or a last box that extends to the end of any file
        raise UndecodableImage("the file has no box with a stated end, so no header can follow it")
    return stream


def find_attached(file: bytes, codec: CodecName) -> StreamHeader | None:
    """Header in a WebP, AVIF or JPEG 2000 file, or None for a file without one.

    Raises `BadStream` if the header is damaged, repeated, or of a later version.
    """
    bodies = _bodies(file, codec)
    if len(bodies) > 1:
        raise BadStream(f"the stream has {len(bodies)} VCDC headers; it must have one")
    return unpack_body(bodies[0]) if bodies else None


def detach(file: bytes, codec: CodecName) -> bytes:
    """File without this project's headers, valid or not."""
    if codec == "webp":
        found = chunks(file)
        return riff([each for each in found if each.kind != _CHUNK]) if _bodies(file, codec) else file
    kept, position = [], 0
    for box in boxes(file):
        if box.kind == b"uuid" and file.startswith(UUID, box.start):
            kept.append(file[position : box.start - 8])
            position = box.end
    return b"".join([*kept, file[position:]])


def _bodies(file: bytes, codec: CodecName) -> list[bytes]:
    if codec == "webp":
        return [each.body for each in chunks(file, most=MAX_CHUNKS) if each.kind == _CHUNK]
    return uuid_bodies(file, UUID)


def _extended(picture: bytes) -> bytes:
    """Body of a VP8X chunk for a VP8 picture: no flags, the picture's size."""
    width, height = (int.from_bytes(picture[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
