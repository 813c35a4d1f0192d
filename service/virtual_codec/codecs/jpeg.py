"""JPEG encoder with rate-distortion optimised quantisation; decoding is libjpeg's."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codecs._dc_scans import with_separate_dc
from virtual_codec.codecs._dct import Blocks, Pixels, blocks_of
from virtual_codec.codecs._entropy import counts_ac, counts_dc, file_of
from virtual_codec.codecs._huffman import symbol_costs
from virtual_codec.codecs._tables import ANNEX_K_CHROMA, ANNEX_K_LUMA, scaled_table
from virtual_codec.codecs._trellis import block_weights, quantise_ac, quantise_dc, round_blocks
from virtual_codec.errors import UndecodableImage

LONGEST_SIDE = 65_500  # limit of libjpeg, below the format's 65,535

DEFAULT_TRELLIS = 0.05
DEFAULT_LUMA_EXPONENT = 0.15
DEFAULT_LUMA_DC = 0.87
DEFAULT_CHROMA_EXPONENT = 0.4
DEFAULT_CHROMA_RATIO = 1.07
DEFAULT_CHROMA_DC = 1.0
DEFAULT_CHROMA_TRELLIS = 0.5
DEFAULT_MASKING = 0.25

# At full size, with the networks, a finer luma DC and less masking are better than for the encoder alone: -0.3 % of the
# bytes in RGB, -0.4 in Y, -0.2 in MS-SSIM at steps 22 to 115 (30 held-out crops). At half size the defaults are best.
_FULL_SIZE_LUMA_DC = 0.75
_FULL_SIZE_MASKING = 0.2


@dataclass(frozen=True, kw_only=True)
class JpegSettings:
    """Quantisation settings of the JPEG encoder.

    `step` is the mean of the luma table; tables are Annex K's to the power of the exponents, luma's with its DC entry
    times `luma_dc`, chroma's with its DC entry times `chroma_dc` and a mean of `step * chroma_ratio`. The Lagrange
    multiplier, in squared error per bit, is `trellis * mean(luma table)^2` in luma and `chroma_trellis` times that in
    chroma; 0 rounds to the nearest level. `masking` moves bits from textured blocks to smooth ones: a squared error is
    weighted by its block's energy to the power `-masking`. `passes` is the number of quantiser runs, each with the
    symbol statistics of the previous one.
    """

    step: float
    trellis: float = DEFAULT_TRELLIS
    subsampling: Literal["420", "444"] = "420"
    luma_exponent: float = DEFAULT_LUMA_EXPONENT
    luma_dc: float = DEFAULT_LUMA_DC
    chroma_exponent: float = DEFAULT_CHROMA_EXPONENT
    chroma_ratio: float = DEFAULT_CHROMA_RATIO
    chroma_dc: float = DEFAULT_CHROMA_DC
    chroma_trellis: float = DEFAULT_CHROMA_TRELLIS
    masking: float = DEFAULT_MASKING
    passes: int = 2

    def __post_init__(self) -> None:
        for name in ("step", "luma_dc", "chroma_ratio", "chroma_dc"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        for name in ("trellis", "chroma_trellis", "masking"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        if self.subsampling not in ("420", "444"):
            raise ValueError(f"subsampling must be 420 or 444, got {self.subsampling!r}")
        if self.passes < 1:
            raise ValueError(f"passes must be at least 1, got {self.passes}")


def description_settings(
    scale: int,
    step: float,
    *,
    subsampling: Literal["420", "444"] = "420",
    chroma_dc: float = DEFAULT_CHROMA_DC,
    passes: int = 2,
) -> JpegSettings:
    """Settings at which a model codes descriptions of a scale."""
    return JpegSettings(
        step=step,
        subsampling=subsampling,
        luma_dc=_FULL_SIZE_LUMA_DC if scale == 1 else DEFAULT_LUMA_DC,
        chroma_dc=chroma_dc,
        masking=_FULL_SIZE_MASKING if scale == 1 else DEFAULT_MASKING,
        passes=passes,
    )


def quantisation_tables(settings: JpegSettings) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Quantisation tables of luma and chroma ([8, 8], natural order, 1 to 255)."""
    return (
        scaled_table(ANNEX_K_LUMA, settings.luma_exponent, settings.step, settings.luma_dc),
        scaled_table(
            ANNEX_K_CHROMA, settings.chroma_exponent, settings.step * settings.chroma_ratio, settings.chroma_dc
        ),
    )


def encode(pixels: Pixels, settings: JpegSettings) -> bytes:
    """Encode [h, w, 3] RGB or [h, w] grey samples, 0 to 255, as a baseline JPEG; `optimise_scans` may shorten it.

    Floats are taken unrounded. The same pixels give the same bytes on one machine.
    """
    return encode_blocks(analyse(pixels, settings.subsampling), settings)


def analyse(pixels: Pixels, subsampling: Literal["420", "444"] = "420") -> Blocks:
    """Coefficients that `encode` computes once for all settings of one `subsampling`."""
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"pixels must be [h, w, 3] or [h, w], got {list(pixels.shape)}")
    if pixels.dtype not in (np.uint8, np.float32):
        raise ValueError(f"pixels must be uint8 or float32, got {pixels.dtype}")
    if not 1 <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= LONGEST_SIDE:
        raise ValueError(f"sides must be 1 to {LONGEST_SIDE}, got {list(pixels.shape[:2])}")
    return blocks_of(pixels, halve_chroma=subsampling == "420")


def encode_blocks(blocks: Blocks, settings: JpegSettings) -> bytes:
    """Encode the coefficients of `analyse`; `settings.subsampling` is ignored."""
    tables = quantisation_tables(settings)
    levels, last = quantised(blocks, settings)
    return file_of(
        width=blocks.width,
        height=blocks.height,
        side=blocks.side,
        levels=levels,
        last=last,
        tables=tables[: min(2, len(levels))],
    )


def quantised(blocks: Blocks, settings: JpegSettings) -> tuple[list[NDArray[np.int16]], list[NDArray[np.int64]]]:
    """Quantised levels per component ([blocks, 64], zig-zag, raster order), and each block's last nonzero index."""
    luma_table, chroma_table = quantisation_tables(settings)
    multiplier = settings.trellis * float(luma_table.mean()) ** 2
    luma, *chroma = blocks.components
    luma_weight, chroma_weight = block_weights(luma, blocks.columns, blocks.side, settings.masking)
    results = _quantised([luma], luma_weight, luma_table, multiplier, settings.passes)
    results += _quantised(chroma, chroma_weight, chroma_table, multiplier * settings.chroma_trellis, settings.passes)
    return [levels for levels, _ in results], [last for _, last in results]


def decode(stream: bytes) -> NDArray[np.uint8]:
    """Decode a stream with libjpeg: [h, w, 3], or [h, w] if grey. Raises `UndecodableImage`."""
    try:
        with Image.open(io.BytesIO(stream), formats=["JPEG"]) as image:
            return np.asarray(image if image.mode in ("RGB", "L") else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
        raise UndecodableImage(f"the stream is not a JPEG that libjpeg decodes: {error}") from error


def optimise_scans(stream: bytes) -> bytes:
    """Recode a stream losslessly as a progressive one with optimised scans; unchanged if that is not smaller.

    Without the package mozjpeg-lossless-optimization the stream is always unchanged.
    """
    try:
        import mozjpeg_lossless_optimization
    except ImportError:
        return stream
    optimised: bytes = mozjpeg_lossless_optimization.optimize(stream)
    if optimised[2:4] == b"\xff\xe0":  # a JFIF segment without content
        optimised = optimised[:2] + optimised[4 + int.from_bytes(optimised[4:6], "big") :]
    return min(stream, with_separate_dc(optimised), key=len)


@final
class Jpeg:
    """JPEG codec of this module, a row of `CODECS`."""

    name = "jpeg"
    media_type = "image/jpeg"
    longest_side = LONGEST_SIDE

    def encode(self, pixels: Pixels, settings: JpegSettings) -> bytes:
        """Encode as the module's `encode` does."""
        return encode(pixels, settings)

    def optimise_scans(self, stream: bytes) -> bytes:
        """Recode as the module's `optimise_scans` does."""
        return optimise_scans(stream)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Decode as the module's `decode` does."""
        return decode(stream)


def _quantised(
    components: Sequence[NDArray[np.float32]],
    weight_of: NDArray[np.float32],
    table: NDArray[np.uint8],
    multiplier: float,
    passes: int,
) -> list[tuple[NDArray[np.int16], NDArray[np.int64]]]:
    """Quantised levels and end indices of components that share their tables."""
    steps = table.ravel()[ZIGZAG].astype(np.float32)
    levels = [np.empty(blocks.shape, np.int16) for blocks in components]
    last = [np.empty(len(blocks), np.int64) for blocks in components]
    for blocks, own_levels, own_last in zip(components, levels, last, strict=True):
        round_blocks(blocks, steps, 0.5, own_levels, own_last)
    for _ in range(passes if multiplier > 0 else 0):
        dc_costs = (symbol_costs(counts_dc(levels)) * multiplier).astype(np.float32)
        ac_costs = (symbol_costs(counts_ac(levels, last)) * multiplier).astype(np.float32)
        for blocks, own_levels, own_last in zip(components, levels, last, strict=True):
            quantise_ac(blocks, steps, weight_of, ac_costs, own_levels, own_last)
            quantise_dc(blocks, float(steps[0]), weight_of, dc_costs, own_levels)
    return list(zip(levels, last, strict=True))
