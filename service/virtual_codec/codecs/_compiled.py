"""Compilation of the inner loops, with or without a place to keep the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile on first use, free of the interpreter's lock, and keep the machine code where there is a place.

    That is the package folder, NUMBA_CACHE_DIR or the user's cache folder; where none can be written to, each
    process compiles anew.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba's "no locator available": a read-only container
        return cast(Function, njit(nogil=True)(function))
