"""Points: measurements of one picture at one setting, each a row of points.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from virtual_codec import metrics
from virtual_codec.ssimulacra2 import ssimulacra2

EQUAL_DB: Final = 100.0  # replaces the infinite PSNR of equal pictures, so that means are finite


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Similarity of a restored picture to its original, PSNR in dB.

    A metric is None if the picture is too small for it, or if it was not requested.
    """

    psnr_rgb: float
    psnr_y: float
    ssim: float | None
    ms_ssim: float | None
    ssimulacra2: float | None = None
    colour_drift: float | None = None  # None for grey pictures


@dataclass(frozen=True, kw_only=True)
class Point:
    """Measurements of one picture through one codec at one setting. `model` is empty for standard codecs."""

    set: str
    image: str
    codec: str
    setting: float
    width: int
    height: int
    bytes: int
    scale: int
    model: str
    psnr_rgb: float
    psnr_y: float
    ssim: float | None
    ms_ssim: float | None
    compress_s: float
    restore_s: float
    ssimulacra2: float | None = None
    colour_drift: float | None = None

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel of the original."""
        return 8 * self.bytes / (self.width * self.height)


COLUMNS: Final = (
    *("set", "image", "codec", "setting", "width", "height", "bytes", "bpp", "scale", "model"),
    *("psnr_rgb", "psnr_y", "ssim", "ms_ssim", "compress_s", "restore_s", "ssimulacra2", "colour_drift"),
)


def similarity(original: metrics.Pixels, restored: metrics.Pixels, *, with_ssimulacra2: bool = False) -> Similarity:
    """Measure the similarity of two pictures, both [H, W, 3] or both [H, W]."""
    side = min(original.shape[:2])
    return Similarity(
        psnr_rgb=min(metrics.psnr(original, restored), EQUAL_DB),
        psnr_y=min(metrics.psnr_y(original, restored), EQUAL_DB),
        ssim=metrics.ssim(original, restored) if side >= metrics.SSIM_MIN_SIDE else None,
        ms_ssim=metrics.ms_ssim(original, restored) if side >= metrics.MS_SSIM_MIN_SIDE else None,
        ssimulacra2=ssimulacra2(original, restored) if with_ssimulacra2 else None,
        colour_drift=metrics.colour_drift(original, restored) if original.ndim == 3 else None,
    )
