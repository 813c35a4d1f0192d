"""Kinds of TIFF by samples, planes and compression, and which of them are known to be decoded correctly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from virtual_codec.errors import UndecodableImage
from virtual_codec.images._tiff_directory import Entry, TiffReader, first_value

_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _PLANES, _PREDICTOR = 258, 259, 262, 266, 277, 284, 317
_EXTRA, _FORMAT, _SUBSAMPLING = 338, 339, 530

WHITE_IS_ZERO, GREY, RGB, PALETTE, _MASK, CMYK, YCBCR, _, LAB = range(9)
_NAMES: Final = {
    WHITE_IS_ZERO: "grey",
    GREY: "grey",
    RGB: "RGB",
    PALETTE: "palette",
    _MASK: "mask",
    CMYK: "CMYK",
    YCBCR: "YCbCr",
    LAB: "Lab",
    9: "ICC Lab",
    10: "ITU Lab",
    32803: "raw camera",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
_FORMATS: Final = {2: "signed ", 3: "float ", 5: "complex ", 6: "complex "}
_CHANNELS: Final = {WHITE_IS_ZERO: 1, GREY: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
RAW, _FAX, _JPEG = 1, frozenset({2, 3, 4}), 7
_PREMULTIPLIED, _STRAIGHT = 1, 2


@dataclass(frozen=True, kw_only=True)
class TiffKind:
    """Sample layout of a TIFF. `extra` holds the meaning of each sample beyond the colours (1, 2: alpha)."""

    photometric: int
    bits: tuple[int, ...]
    sample_format: int
    extra: tuple[int, ...]
    is_planar: bool
    compression: int
    predictor: int
    fill_order: int
    order: Literal["little", "big"]
    is_subsampled: bool

    @property
    def channels(self) -> int:
        """Number of colours of a pixel, without extra samples."""
        return _CHANNELS.get(self.photometric, 0)

    @property
    def has_alpha(self) -> bool:
        """True if the first extra sample is an alpha."""
        return bool(self.extra) and self.extra[0] in (_PREMULTIPLIED, _STRAIGHT)

    @property
    def is_premultiplied(self) -> bool:
        """True if the colours have been multiplied by the alpha."""
        return self.has_alpha and self.extra[0] == _PREMULTIPLIED

    def __str__(self) -> str:
        colours = _NAMES.get(self.photometric, f"photometric {self.photometric}")
        bits = "/".join(str(depth) for depth in sorted(set(self.bits)))
        alpha = " with alpha" if self.has_alpha else f" with {len(self.extra)} further samples" if self.extra else ""
        return f"{bits}-bit {_FORMATS.get(self.sample_format, '')}{colours} TIFF{alpha}"


def kind_of(reader: TiffReader, entries: dict[int, Entry]) -> TiffKind:
    """Kind of the TIFF with these entries, with TIFF 6.0's defaults for missing tags."""

    def values(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        return (reader.values(entries[tag]) or default) if tag in entries else default

    samples = first_value(reader, entries, _SAMPLES) or 1
    bits = values(_BITS, (1,))
    bits = bits * samples if len(bits) == 1 else bits
    photometric = values(_PHOTOMETRIC, (WHITE_IS_ZERO,))[0]
    stated, count = values(_EXTRA, ()), max(0, samples - _CHANNELS.get(photometric, samples))
    if not stated and photometric == RGB and count == 1:
        stated = (_STRAIGHT,)  # writers that omit the tag mean an alpha
    formats = set(values(_FORMAT, (1,))) - {4} or {1}  # 4: undefined
    return TiffKind(
        photometric=photometric,
        bits=bits,
        sample_format=max(formats),
        extra=(stated + (0,) * count)[:count],
        is_planar=samples > 1 and values(_PLANES, (1,))[0] == 2,
        compression=values(_COMPRESSION, (RAW,))[0],
        predictor=values(_PREDICTOR, (1,))[0],
        fill_order=values(_FILL_ORDER, (1,))[0],
        order=reader.order,
        is_subsampled=values(_SUBSAMPLING, (2, 2)) != (1, 1),
    )


def read_by_pillow(kind: TiffKind) -> bool:
    """True for kinds that Pillow decodes correctly (tests check each), False for those that this project decodes.

    Raises `UndecodableImage` with the name of the kind for all others.
    """
    depth = set(kind.bits)
    is_coded = kind.compression in _FAX or kind.compression == _JPEG
    if kind.sample_format != 1 or kind.channels == 0 or len(depth) != 1:
        raise _refused(kind)
    if depth in ({16}, {32}) and not is_coded and kind.photometric in (WHITE_IS_ZERO, GREY, RGB, CMYK):
        if kind.predictor not in (1, 2) or (kind.photometric != RGB and kind.has_alpha) or len(kind.bits) > 8:
            raise _refused(kind)
        return False
    if kind.photometric in (WHITE_IS_ZERO, GREY):
        is_read = depth <= {1, 2, 4, 8} and (len(kind.bits) == 1 or (depth == {8} and kind.photometric == GREY))
        is_read = is_read or (depth == {12} and len(kind.bits) == 1 and kind.order == "little")
    elif kind.photometric == PALETTE:
        is_read = depth <= {1, 2, 4, 8} and len(kind.bits) == 1
    elif kind.photometric == YCBCR:
        is_read = depth == {8} and len(kind.bits) == 3 and (kind.compression != RAW or not kind.is_subsampled)
    else:
        is_read = depth == {8} and not (kind.photometric in (CMYK, LAB) and kind.has_alpha)
    if not is_read or (kind.is_planar and kind.extra and not kind.has_alpha):
        raise _refused(kind)
    return True


def _refused(kind: TiffKind) -> UndecodableImage:
    return UndecodableImage(f"this is a {kind}, which is not read here; save it as 8- or 16-bit grey or RGB")
