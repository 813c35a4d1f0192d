"""What of a file its decoder needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Essence:
    """A file without what its pixels do not need: metadata, thumbnails, further pictures.

    Decoders read metadata in Python, and a few megabytes of it can cost minutes and gigabytes (a directory of
    65,000 tags that all point at one block, a million empty chunks). What they do not get costs nothing.
    `size` is (width, height) as coded, None where only the decoder knows; `orientation` is EXIF's, 1-8;
    `profile` an ICC profile where it does not travel inside the file.
    """

    file: bytes
    size: tuple[int, int] | None
    orientation: int = 1
    profile: bytes | None = None
