"""Limits on the size of pictures and the number of parts of their files."""

from __future__ import annotations

from dataclasses import dataclass, fields

from virtual_codec.bitstream import DEFAULT_MAX_SCANS, DEFAULT_MAX_SEGMENTS
from virtual_codec.errors import ProfileTooLarge, SideTooLong, TooManyPixels, TooManySegments, UndecodableImage

PILLOW_MAX_PIXELS = 1 << 29


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """Limits on image files, checked against their headers before anything is decoded.

    `max_segments` counts segments of a JPEG, chunks of a WebP and tags of a TIFF's directory. `max_chunks` counts
    chunks of a PNG; it must allow 64 MiB in chunks of 512 bytes. `max_blocks` counts the sub-blocks of a GIF, of up to
    255 bytes. `max_profile_bytes` is the size of a decompressed ICC profile; the largest printer profiles have 2 MiB.
    """

    max_pixels: int = 50_000_000
    max_side: int = 65_535
    max_scans: int = DEFAULT_MAX_SCANS
    max_segments: int = DEFAULT_MAX_SEGMENTS
    max_chunks: int = 131_072
    max_blocks: int = 1_000_000
    max_profile_bytes: int = 4 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name} must be at least 1, got {getattr(self, field.name)}")
        if self.max_pixels > PILLOW_MAX_PIXELS:
            raise ValueError(f"max_pixels must be at most {PILLOW_MAX_PIXELS}, got {self.max_pixels}")

    def check(self, width: int, height: int) -> None:
        """Raise `TooManyPixels` or `SideTooLong`, or `UndecodableImage` if there are no pixels."""
        if width < 1 or height < 1:
            raise UndecodableImage(f"the image has no pixels: its header says {width}x{height}")
        if width * height > self.max_pixels:
            raise TooManyPixels(
                f"the image is {width}x{height}; at most {self.max_pixels} pixels are allowed",
                limit=self.max_pixels,
                actual=width * height,
            )
        if max(width, height) > self.max_side:
            raise SideTooLong(
                f"the image is {width}x{height}; a side may have at most {self.max_side} pixels",
                limit=self.max_side,
                actual=max(width, height),
            )

    def check_profile(self, size_bytes: int) -> None:
        """Raise `ProfileTooLarge` for an ICC profile of `size_bytes` or more."""
        if size_bytes > self.max_profile_bytes:
            raise ProfileTooLarge(
                f"the image's colour profile has {size_bytes} bytes or more; the limit is {self.max_profile_bytes}",
                limit=self.max_profile_bytes,
                actual=size_bytes,
            )


DEFAULT_LIMITS = ImageLimits()


def too_many(pieces: str, limit: int, actual: int | None = None) -> TooManySegments:
    """Error for a file with more pieces than `limit`, named in the plural; `actual` is None if counting stopped."""
    return TooManySegments(
        f"the file has more than {limit} {pieces}; save it anew", limit=limit, actual=actual or limit + 1
    )
