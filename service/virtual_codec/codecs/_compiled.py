"""Compilation of inner loops by numba, cached on disk where a folder can be written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function on first use, without the interpreter's lock, and cache its machine code.

    The cache lies in the package folder, NUMBA_CACHE_DIR or the user's cache folder. Where none of them can be written
    to, each process compiles anew.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba's "no locator available": a read-only container
        return cast(Function, njit(nogil=True)(function))
