"""Coding-independent code points (ITU-T H.273), which PNG's cICP and AVIF's nclx use to name a colour space."""

from __future__ import annotations

from typing import Final

from virtual_codec.errors import UndecodableImage
from virtual_codec.images._colour_space import (
    D65,
    SRGB_PRIMARIES,
    ColourSpace,
    Transfer,
    colour_space,
    power,
    srgb_decoded,
)

_ILLUMINANT_C: Final = (0.31, 0.316)
_PRIMARIES: Final = {
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,  # unspecified
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _ILLUMINANT_C),
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _ILLUMINANT_C),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), D65),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), D65),
}
# The camera curves of television (1, 6, 7, 11, 12, 14, 15) are shown with a display's gamma, not with their inverse.
# They are treated as sRGB, so the samples do not change, as expected by writers that put these code points on sRGB
# pictures.
_TRANSFERS: Final[dict[int, Transfer]] = {
    **dict.fromkeys((1, 2, 6, 7, 11, 12, 13, 14, 15), srgb_decoded),
    4: power(2.2),
    5: power(2.8),
    8: power(1.0),
    17: power(2.6),
}
_HIGH_DYNAMIC_RANGE: Final = {16: "PQ", 18: "HLG"}


def space_of_code_points(title: str, primaries: int, transfer: int) -> ColourSpace | None:
    """Colour space of two code points, or None for sRGB.

    Raises `UndecodableImage` for high dynamic range, and for code points that are not known here.
    """
    if transfer in _HIGH_DYNAMIC_RANGE:
        raise UndecodableImage(
            f"the {title} has high dynamic range ({_HIGH_DYNAMIC_RANGE[transfer]}); save it with standard range (sRGB)"
        )
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise UndecodableImage(
            f"the {title} has colours by the code points {primaries}, {transfer}, not read here; save it as sRGB"
        )
    if _PRIMARIES[primaries] == SRGB_PRIMARIES and _TRANSFERS[transfer] is srgb_decoded:
        return None
    return colour_space(_PRIMARIES[primaries], _TRANSFERS[transfer])
