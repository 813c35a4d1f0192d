"""Compilation of inner loops by numba, cached on disk if a folder is writable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit
from numba.core.registry import cpu_target

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function on first use, to run without the interpreter lock, and cache its machine code.

    The cache is in the package folder, NUMBA_CACHE_DIR or the user's cache folder. If none of them is writable, each
    process compiles again.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba's "no locator available": a read-only container
        return cast(Function, njit(nogil=True)(function))


def inlined(function: Function) -> Function:
    """Mark a function that compiled functions contain wherever they call it, with the constants of that place."""
    return cast(Function, njit(inline="always")(function))


def uses_wide_vectors() -> bool:
    """True if compiled loops use vectors of 256 bits, as on x86-64 with AVX2 unless NUMBA_CPU_NAME says otherwise."""
    _triple, _name, features = cpu_target.target_context.codegen().magic_tuple()
    return "+avx2" in features
