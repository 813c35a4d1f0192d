"""A JPEG encoder whose quantiser knows what a bit is worth; decoding is libjpeg's."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs._dct import Blocks, blocks_of
from service.codecs._entropy import counts_ac, counts_dc, file_of
from service.codecs._huffman import price
from service.codecs._tables import ANNEX_K_CHROMA, ANNEX_K_LUMA, ZIGZAG, scaled_table
from service.codecs._trellis import quantise_ac, quantise_dc, round_blocks
from service.errors import UndecodableImage

LONGEST_SIDE = 65_500  # libjpeg's, below the format's own 65,535

DEFAULT_TRELLIS = 0.05
DEFAULT_LUMA_EXPONENT = 0.15
DEFAULT_CHROMA_EXPONENT = 0.5
DEFAULT_CHROMA_RATIO = 0.75
DEFAULT_CHROMA_TRELLIS = 0.5


@dataclass(frozen=True, kw_only=True)
class JpegSettings:
    """How strongly to quantise, and how.

    `step` is the mean of the luma table; tables are Annex K's to the power of the exponents, chroma's with a mean of
    `step * chroma_ratio`. A bit is worth `trellis * mean(luma table)^2` of squared error in luma, `chroma_trellis`
    times that in chroma; 0 rounds to the nearest level. `passes` is how often the quantiser is run, each time on
    the symbol statistics of the time before. `optimize_scans` also tries a progressive file of the same pixels and
    keeps the smaller; it needs the package mozjpeg-lossless-optimization.
    """

    step: float
    trellis: float = DEFAULT_TRELLIS
    subsampling: Literal["420", "444"] = "420"
    optimize_scans: bool = False
    luma_exponent: float = DEFAULT_LUMA_EXPONENT
    chroma_exponent: float = DEFAULT_CHROMA_EXPONENT
    chroma_ratio: float = DEFAULT_CHROMA_RATIO
    chroma_trellis: float = DEFAULT_CHROMA_TRELLIS
    passes: int = 2

    def __post_init__(self) -> None:
        for name in ("step", "chroma_ratio"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        for name in ("trellis", "chroma_trellis"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        if self.subsampling not in ("420", "444"):
            raise ValueError(f"subsampling must be 420 or 444, got {self.subsampling!r}")
        if self.passes < 1:
            raise ValueError(f"passes must be at least 1, got {self.passes}")


def quantisation_tables(settings: JpegSettings) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Luma's and chroma's tables ([8, 8], natural order, 1 to 255)."""
    return (
        scaled_table(ANNEX_K_LUMA, settings.luma_exponent, settings.step),
        scaled_table(ANNEX_K_CHROMA, settings.chroma_exponent, settings.step * settings.chroma_ratio),
    )


def encode(pixels: NDArray[np.uint8] | NDArray[np.float32], settings: JpegSettings) -> bytes:
    """Code [h, w, 3] RGB or [h, w] grey samples, 0 to 255, as a baseline JPEG (but see `optimize_scans`).

    Floats are taken unrounded. The same pixels give the same bytes on one machine.
    """
    return encode_blocks(analyse(pixels, settings.subsampling), settings)


def analyse(
    pixels: NDArray[np.uint8] | NDArray[np.float32], subsampling: Literal["420", "444"] = "420"
) -> Blocks:
    """What `encode` computes once for all settings of one `subsampling`."""
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"pixels must be [h, w, 3] or [h, w], got {list(pixels.shape)}")
    if pixels.dtype not in (np.uint8, np.float32):
        raise ValueError(f"pixels must be uint8 or float32, got {pixels.dtype}")
    if not 1 <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= LONGEST_SIDE:
        raise ValueError(f"sides must be 1 to {LONGEST_SIDE}, got {list(pixels.shape[:2])}")
    return blocks_of(pixels, halve_chroma=subsampling == "420")


def encode_blocks(blocks: Blocks, settings: JpegSettings) -> bytes:
    """Code what `analyse` made; `settings.subsampling` is not looked at."""
    tables = quantisation_tables(settings)
    worth = settings.trellis * float(tables[0].mean()) ** 2
    levels: list[NDArray[np.int16]] = []
    last: list[NDArray[np.int64]] = []
    groups = ((0, 1, worth), (1, len(blocks.components), worth * settings.chroma_trellis))
    for (first, end, bit_worth), table in zip(groups, tables, strict=True):
        components = blocks.components[first:end]
        for coefficients, ends in _quantised(
            components, blocks.is_padding, table, bit_worth, settings.passes
        ):
            levels.append(coefficients)
            last.append(ends)
    stream = file_of(
        width=blocks.width,
        height=blocks.height,
        luma_per_mcu=blocks.luma_per_mcu,
        levels=levels,
        last=last,
        tables=tables[: min(2, len(levels))],
    )
    return _with_best_scans(stream) if settings.optimize_scans else stream


def decode(stream: bytes) -> NDArray[np.uint8]:
    """The picture libjpeg makes of a stream: [h, w, 3], or [h, w] for one component. Raises `UndecodableImage`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on size: limits are for callers to check
            with Image.open(io.BytesIO(stream), formats=["JPEG"]) as image:
                image = image if image.mode in ("RGB", "L") else image.convert("RGB")
                return np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UndecodableImage(f"the stream is not a JPEG that libjpeg decodes: {error}") from error


@final
class Jpeg:
    """The JPEG of this module as a row of `CODECS`."""

    name = "jpeg"
    media_type = "image/jpeg"

    def encode(self, pixels: NDArray[np.uint8] | NDArray[np.float32], settings: JpegSettings) -> bytes:
        """See the module's `encode`."""
        return encode(pixels, settings)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """See the module's `decode`."""
        return decode(stream)


def _quantised(
    components: tuple[NDArray[np.float32], ...],
    luma_padding: NDArray[np.bool_],
    table: NDArray[np.uint8],
    bit_worth: float,
    passes: int,
) -> list[tuple[NDArray[np.int16], NDArray[np.int64]]]:
    """Levels and ends of components that share their tables."""
    steps = table.ravel()[ZIGZAG].astype(np.float32)
    results = []
    for blocks in components:
        levels = np.empty(blocks.shape, np.int16)
        last = np.empty(len(blocks), np.int64)
        padding = luma_padding if len(luma_padding) == len(blocks) else np.zeros(len(blocks), np.bool_)
        round_blocks(blocks, steps, padding, 0.5, levels, last)
        results.append((levels, last, padding))
    for _ in range(passes if bit_worth > 0 else 0):
        all_levels, all_last = [r[0] for r in results], [r[1] for r in results]
        dc_price = (price(counts_dc(all_levels)) * bit_worth).astype(np.float32)
        ac_price = (price(counts_ac(all_levels, all_last)) * bit_worth).astype(np.float32)
        for blocks, (levels, last, padding) in zip(components, results, strict=True):
            quantise_ac(blocks, steps, padding, ac_price, levels, last)
            quantise_dc(blocks, float(steps[0]), padding, dc_price, levels)
    return [(levels, last) for levels, last, _ in results]


def _with_best_scans(stream: bytes) -> bytes:
    import mozjpeg_lossless_optimization

    optimised: bytes = mozjpeg_lossless_optimization.optimize(stream)
    if optimised[2:4] == b"\xff\xe0":  # a JFIF segment that says nothing
        optimised = optimised[:2] + optimised[4 + int.from_bytes(optimised[4:6], "big") :]
    return min(stream, optimised, key=len)
