"""Memory that is freed stays with the process, for the next tile."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_LARGEST_TILE_BYTES: Final = 128 * 2**20  # what is larger is a whole image's, and goes back to the system
_KEPT_BYTES: Final = 512 * 2**20


def keep_freed_memory() -> None:
    """Have the C library keep what tiles free, where it is glibc.

    By default each layer's features are fresh pages that the kernel has to find and clear: 18,000 page faults a
    tile, a quarter of the time of a network on a processor. One arena, since only the main one holds such blocks.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in (
        (_M_MMAP_THRESHOLD, _LARGEST_TILE_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_ARENA_MAX, 1),
    ):
        library.mallopt(option, value)
