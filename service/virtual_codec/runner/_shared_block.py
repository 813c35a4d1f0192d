"""Shared-memory blocks, which carry a tile to the device process and its result back.

    ┌───────────┬────────┬───────────────────┬────────┐
    │ condition │ pixels │ wanted (gradient) │ result │
    └───────────┴────────┴───────────────────┴────────┘

A block is an anonymous file whose descriptor is sent to the other process. It has no name that could be left behind,
and does not use /dev/shm, which has 64 MB in a container. Its size is sealed, because shrinking a file that another
process has mapped would crash that process.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import weakref
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.runner._device import GradientTarget, Pixels

_ALIGNMENT: Final = 64  # bytes, for vector registers, as in NumPy's own arrays
_MIN_BLOCK_BYTES: Final = 2**16
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_FLOAT_BYTES: Final = 4
_BLOCK_NUMBERS: Final = itertools.count()


@final
@dataclass(frozen=True, kw_only=True)
class TileShape:
    """Shape of a tile and its result, which determines the layout of a block.

    `conditions` is the length of the condition vector; `target` has the first and last rows and columns of a gradient's
    target in the output. Raises `ValueError` for impossible shapes.
    """

    height: int
    width: int
    conditions: int
    ratio: float
    to_bytes: bool
    target: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.conditions < 0:
            raise ValueError("a tile without pixels")
        if self.target is not None:
            top, bottom, left, right = self.target
            height, width, _ = self.output
            if not (0 <= top <= bottom <= height and 0 <= left <= right <= width):
                raise ValueError("a target that is not within the output")

    @property
    def output(self) -> tuple[int, int, int]:
        """Shape of the network's output."""
        return round(self.height * self.ratio), round(self.width * self.ratio), 3

    @property
    def wanted(self) -> tuple[int, int, int]:
        """Shape of the target's pixels; empty without one."""
        if self.target is None:
            return 0, 0, 3
        top, bottom, left, right = self.target
        return bottom - top, right - left, 3

    @property
    def result(self) -> tuple[int, int, int]:
        """Shape of the result: the output, or the gradient with respect to the tile's pixels."""
        return self.output if self.target is None else (self.height, self.width, 3)

    @property
    def offsets(self) -> tuple[int, int, int, int]:
        """Offsets in bytes of pixels, wanted pixels and result, and the end of these."""
        pixels = _aligned(_FLOAT_BYTES * self.conditions)
        wanted = pixels + _aligned(3 * self.height * self.width)
        result = wanted + _aligned(self.wanted[0] * self.wanted[1] * 3)
        values = self.result[0] * self.result[1] * 3
        return pixels, wanted, result, result + values * (1 if self._has_byte_result else _FLOAT_BYTES)

    @property
    def bytes(self) -> int:
        """Size of a block that holds the tile and its result."""
        return self.offsets[-1]

    @property
    def _has_byte_result(self) -> bool:
        return self.to_bytes and self.target is None


@final
class SharedBlock:
    """Mapped block of shared memory with a number; closes its descriptor when it is garbage-collected.

    Raises `ValueError` for a descriptor that `create` did not make, and leaves it open.
    """

    def __init__(self, descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise ValueError("a block whose size is not sealed")
        self.number = next(_BLOCK_NUMBERS)
        self.descriptor = descriptor
        self.bytes = os.fstat(descriptor).st_size
        self._memory = mmap.mmap(descriptor, self.bytes)
        weakref.finalize(self, os.close, descriptor)  # the memory is freed when no view of it is left

    @classmethod
    def create(cls, size: int) -> SharedBlock:
        """Create a block of at least `size` bytes, a power of two."""
        descriptor = os.memfd_create("vcodec-tile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size_class(size))
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            return cls(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def condition(self, shape: TileShape) -> NDArray[np.float32]:
        """View of the condition vector."""
        return np.frombuffer(self._memory, np.float32, shape.conditions)

    def pixels(self, shape: TileShape) -> NDArray[np.uint8]:
        """View of the tile's pixels."""
        return self._view(np.uint8, shape.offsets[0], (shape.height, shape.width, 3))

    def wanted(self, shape: TileShape) -> NDArray[np.uint8]:
        """View of the pixels of a gradient's target."""
        return self._view(np.uint8, shape.offsets[1], shape.wanted)

    def result(self, shape: TileShape) -> Pixels:
        """View of the result."""
        kind = np.uint8 if shape.to_bytes and shape.target is None else np.float32
        return self._view(kind, shape.offsets[2], shape.result)

    def target(self, shape: TileShape) -> GradientTarget | None:
        """Target of the gradient, if the tile has one."""
        if shape.target is None:
            return None
        top, bottom, left, right = shape.target
        return GradientTarget(rows=slice(top, bottom), columns=slice(left, right), pixels=self.wanted(shape))

    def copy_input(self, other: SharedBlock, shape: TileShape) -> None:
        """Copy all but the result from another block."""
        end = shape.offsets[2]
        self._memory[:end] = other._memory[:end]

    def _view(self, kind: type[np.generic], offset: int, shape: tuple[int, int, int]) -> NDArray[Any]:
        return np.frombuffer(self._memory, kind, shape[0] * shape[1] * shape[2], offset).reshape(shape)


def size_class(size: int) -> int:
    """Size in bytes of a block for `size` bytes: the next power of two, at least 64 KiB."""
    return max(_MIN_BLOCK_BYTES, 1 << (size - 1).bit_length())


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
