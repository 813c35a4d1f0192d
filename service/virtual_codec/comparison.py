"""Comparison of two pictures: quality measures and a picture of the differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_codec.errors import BadOption
from virtual_codec.sources import file_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from virtual_codec.sources import FileSource


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Quality measures of a picture against its original.

    PSNR in dB (infinite for equal pictures), of RGB and of luma; `ssim` of luma and `ms_ssim` of RGB, at most 1;
    `colour_drift` in levels, 0 for equal colours; `ssimulacra2` 100 for equal pictures, measured if the package is
    installed (extra `ssimulacra2`). None for a measure for which the pictures are too small (sides under 11 pixels for
    SSIM, under 161 for MS-SSIM), and for drift of grey pictures.
    """

    psnr_db: float
    psnr_y_db: float
    ssim: float | None
    ms_ssim: float | None
    colour_drift: float | None
    ssimulacra2: float | None = None


def compare(first: FileSource, second: FileSource) -> Comparison:
    """Compare two image files, given by their paths or bytes. Raises `BadInput`, or `BadOption` for unequal sizes."""
    from virtual_codec import metrics, ssimulacra2

    one, other = _pixels(first, second)
    side = min(one.shape[:2])
    return Comparison(
        psnr_db=metrics.psnr(one, other),
        psnr_y_db=metrics.psnr_y(one, other),
        ssim=metrics.ssim(one, other) if side >= metrics.SSIM_MIN_SIDE else None,
        ms_ssim=metrics.ms_ssim(one, other) if side >= metrics.MS_SSIM_MIN_SIDE else None,
        colour_drift=metrics.colour_drift(one, other) if one.ndim == 3 else None,
        ssimulacra2=ssimulacra2.ssimulacra2(one, other) if ssimulacra2.is_available() else None,
    )


def difference(first: FileSource, second: FileSource, *, gain: int = 8) -> bytes:
    """PNG of the differences: grey where the pictures are equal, `gain` levels away for each level of difference."""
    import numpy as np

    from virtual_codec import images

    one, other = _pixels(first, second)
    amplified = 128 + gain * (one.astype(np.int32) - other)
    return images.encode(np.clip(amplified, 0, 255).astype(np.uint8), "png")


def _pixels(first: FileSource, second: FileSource) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    import numpy as np

    from virtual_codec import images

    one, other = (images.decode(file_bytes(source)) for source in (first, second))
    if one.shape[:2] != other.shape[:2]:
        sizes = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (one, other))
        raise BadOption(f"pictures of one size can be compared; these are {sizes}")
    if one.ndim != other.ndim:  # a grey picture beside a coloured one
        one, other = (each if each.ndim == 3 else np.repeat(each[..., None], 3, axis=2) for each in (one, other))
    return one, other
