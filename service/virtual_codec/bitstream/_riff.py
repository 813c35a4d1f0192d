"""Chunks of a RIFF file, such as a WebP."""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_CHUNKS: Final = 4096


class Chunk(NamedTuple):
    """Chunk of a kind (four bytes) and its content, without padding."""

    kind: bytes
    body: bytes


def chunks(file: bytes, *, most: int = MAX_CHUNKS) -> list[Chunk]:
    """Chunks of a WebP within its stated length; the iteration ends at a chunk that exceeds it."""
    found: list[Chunk] = []
    if not (file.startswith(b"RIFF") and file.startswith(b"WEBP", 8)):
        return found
    position, end = 12, min(len(file), 8 + int.from_bytes(file[4:8], "little"))
    while position + 8 <= end and len(found) < most:
        start = position + 8
        stop = start + int.from_bytes(file[position + 4 : start], "little")
        if stop > end:
            break
        found.append(Chunk(file[position : position + 4], file[start:stop]))
        position = stop + stop % 2
    return found


def riff(parts: list[Chunk]) -> bytes:
    """WebP file made of chunks."""
    body = b"WEBP" + b"".join(
        part.kind + len(part.body).to_bytes(4, "little") + part.body + bytes(len(part.body) % 2) for part in parts
    )
    return b"RIFF" + len(body).to_bytes(4, "little") + body
