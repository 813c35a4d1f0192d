"""Settings of the C library for freed memory: keep it for the next tile, or return it after each request."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping
from typing import Final

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_LARGEST_TILE_BYTES: Final = 128 * 2**20  # larger blocks are whole images, and are returned to the system
_KEPT_BYTES: Final = 512 * 2**20
_SMALL_BYTES: Final = 256 * 2**10  # larger blocks are bodies and answers


def keep_freed_memory() -> None:
    """Make glibc keep the memory that tiles free. Does nothing with another C library.

    By default each layer's features use new pages, which the kernel has to find and clear: 18,000 page faults a tile, a
    quarter of a network's time on a CPU. It sets one arena, because only the main arena holds such large blocks.
    """
    _set_options({_M_MMAP_THRESHOLD: _LARGEST_TILE_BYTES, _M_TRIM_THRESHOLD: _KEPT_BYTES, _M_ARENA_MAX: 1})


def return_freed_memory() -> None:
    """Make glibc return bodies and answers to the system when they are freed. Does nothing with another C library.

    By default glibc raises its threshold after the first large block, and every thread's arena grows to the largest
    body that it has ever held: megabytes each, increasing for hours with mixed sizes. Call this before starting
    threads.
    """
    _set_options({_M_MMAP_THRESHOLD: _SMALL_BYTES, _M_TRIM_THRESHOLD: _SMALL_BYTES, _M_ARENA_MAX: 1})


def _set_options(options: Mapping[int, int]) -> None:
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in options.items():
        library.mallopt(option, value)
