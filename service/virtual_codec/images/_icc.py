"""ICC profiles of displays and grey scales for 16-bit samples, which Pillow's colour management cannot convert.

Only profiles with a matrix and tone curves are supported (ICC.1:2010, 8.3.3 and 8.4.3), as cameras and displays have.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from virtual_codec.images._colour_space import ColourSpace, Floats, Transfer, power

# Linear sRGB to XYZ under D50, the profile connection space's white: the columns of sRGB's own profile.
_SRGB_D50: Final = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_PARAMETER_COUNTS: Final = (1, 3, 4, 5, 7)  # of parametric curves, by their type


def space_of_profile(profile: bytes, *, is_grey: bool) -> ColourSpace | None:
    """Colour space of a profile with a matrix and tone curves; None for any other profile, or a damaged one."""
    try:
        tags = _tags(profile)
        if profile[16:20] != (b"GRAY" if is_grey else b"RGB ") or profile[20:24] != b"XYZ " or b"A2B0" in tags:
            return None
        if is_grey:
            return ColourSpace(to_linear=(_curve(tags[b"kTRC"]),) * 3, matrix=np.eye(3))
        columns = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        red, green, blue = (_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        return ColourSpace(to_linear=(red, green, blue), matrix=np.linalg.inv(_SRGB_D50) @ columns)
    except (KeyError, ValueError, struct.error):
        return None


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > 100:
        raise ValueError("too many tags")
    found = {}
    for index in range(count):
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        found[name] = profile[offset : offset + size]
    return found


def _xyz(tag: bytes) -> Floats:
    return np.asarray(np.array(struct.unpack_from(">3i", tag, 8)) / 65536)


def _curve(tag: bytes) -> Transfer:
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return power(1.0)
        if count == 1:
            return power(struct.unpack_from(">H", tag, 12)[0] / 256)
        table = np.frombuffer(tag, ">u2", count, 12) / 65535
        return lambda codes: np.interp(codes, np.linspace(0, 1, len(table)), table)
    if tag[:4] != b"para":
        raise ValueError("not a curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind >= len(_PARAMETER_COUNTS):
        raise ValueError("not a known curve")
    return _parametric(kind, np.array(struct.unpack_from(f">{_PARAMETER_COUNTS[kind]}i", tag, 12)) / 65536)


def _parametric(kind: int, values: Floats) -> Transfer:
    """Parametric curve of ICC.1:2010, table 65: `values` are g, a, b, c, d, e, f as far as the type has them."""
    g, a, b, c, d, e, f = (float(value) for value in np.pad(values, (0, 7 - len(values))))
    if kind == 0:
        a = 1.0
    if kind in (1, 2):
        if a == 0:
            raise ValueError("not a curve")
        e = f = c if kind == 2 else 0.0
        c, d = 0.0, -b / a

    def to_linear(codes: Floats) -> Floats:
        upper = np.power(np.maximum(a * codes + b, 0), g) + e
        return np.asarray(np.where(codes >= d, upper, c * codes + f))

    return to_linear
