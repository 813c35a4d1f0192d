"""Image file reduced to the parts that its decoder needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from virtual_codec.images._colour_space import ColourSpace
from virtual_codec.images._wide import WideSamples


@dataclass(frozen=True, kw_only=True)
class StrippedFile:
    """Image file without metadata, thumbnails and further pictures, and the metadata that decoding needs.

    Decoders read metadata in Python. A few megabytes of it can cost minutes and gigabytes (a directory of 65,000 tags
    that all point to one block, a million empty chunks), so decoders get none. `size` is (width, height) as coded, None
    if only the decoder knows it. `orientation` is EXIF's, 1-8. `profile` is an ICC profile that is not inside the
    stripped file, `space` the colour space of a file without profile (None for sRGB). `wide` reads samples that the
    decoder would narrow or misread. `is_complete` is False if the file ends before its end marker.
    """

    file: bytes
    size: tuple[int, int] | None
    orientation: int = 1
    profile: bytes | None = None
    space: ColourSpace | None = None
    wide: Callable[[], WideSamples] | None = None
    is_complete: bool = True
