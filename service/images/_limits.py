"""How large a picture may be."""

from __future__ import annotations

from dataclasses import dataclass

from service.bitstream import DEFAULT_MAX_SCANS
from service.errors import SideTooLong, TooManyPixels, UndecodableImage

PILLOW_MAX_PIXELS = 1 << 29


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """The largest picture that is decoded, as its header tells: pixels, pixels a side, and a JPEG's scans."""

    max_pixels: int = 50_000_000
    max_side: int = 65_535
    max_scans: int = DEFAULT_MAX_SCANS

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_side", "max_scans"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_pixels > PILLOW_MAX_PIXELS:
            raise ValueError(f"max_pixels must be at most {PILLOW_MAX_PIXELS}, got {self.max_pixels}")

    def check(self, width: int, height: int) -> None:
        """Raise `TooManyPixels` or `SideTooLong`; `UndecodableImage` when there are no pixels at all."""
        if width < 1 or height < 1:
            raise UndecodableImage(f"the image has no pixels: its header says {width}x{height}")
        if width * height > self.max_pixels:
            raise TooManyPixels(
                f"the image is {width}x{height}; at most {self.max_pixels} pixels are taken",
                limit=self.max_pixels,
                actual=width * height,
            )
        if max(width, height) > self.max_side:
            raise SideTooLong(
                f"the image is {width}x{height}; a side may have at most {self.max_side} pixels",
                limit=self.max_side,
                actual=max(width, height),
            )
