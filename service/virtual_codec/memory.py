"""Settings of the C library for freed memory: kept for the next tile, or returned after each request."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping
from typing import Final

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_LARGEST_TILE_BYTES: Final = 128 * 2**20  # larger blocks are whole images, and go back to the system
_KEPT_BYTES: Final = 512 * 2**20
_SMALL_BYTES: Final = 256 * 2**10  # larger ones are bodies and answers


def keep_freed_memory() -> None:
    """Have the C library keep what tiles free, where it is glibc.

    By default each layer's features are fresh pages that the kernel has to find and clear: 18,000 page faults a
    tile, a quarter of the time of a network on a processor. One arena, since only the main one holds such blocks.
    """
    _set({_M_MMAP_THRESHOLD: _LARGEST_TILE_BYTES, _M_TRIM_THRESHOLD: _KEPT_BYTES, _M_ARENA_MAX: 1})


def return_freed_memory() -> None:
    """Have the C library give bodies and answers back to the system when they are freed, where it is glibc.

    By default it learns from the first large block that such blocks come again, and every thread's arena grows to the
    largest body that ever met it: megabytes each, more with every hour of mixed sizes. Call it before there are
    threads.
    """
    _set({_M_MMAP_THRESHOLD: _SMALL_BYTES, _M_TRIM_THRESHOLD: _SMALL_BYTES, _M_ARENA_MAX: 1})


def _set(options: Mapping[int, int]) -> None:
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in options.items():
        library.mallopt(option, value)
