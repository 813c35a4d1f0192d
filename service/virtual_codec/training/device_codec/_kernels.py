"""Compiled loops of the quantiser: CUDA kernels by NVRTC, or a C library for the processor, from one source."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from virtual_codec.errors import BadOption

_SOURCE: Final = Path(__file__).with_name("quantiser.c")
_FUNCTIONS: Final = ("round_blocks", "quantise_ac", "quantise_dc", "count_symbols")
_BLOCK_THREADS: Final = {"quantise_dc": 32}  # a thread works on a whole sequence of blocks, so there are few threads
_DEFAULT_BLOCK_THREADS: Final = 128

Launch = Callable[..., None]


class Quantiser(Protocol):
    """Compiled functions of quantiser.c, called by name."""

    def run(self, name: str, count: int, *arguments: int | Tensor) -> None:
        """Call a function for `count` blocks or sequences, with integers and contiguous tensors in its own order."""


def load_quantiser(device: torch.device) -> Quantiser:
    """Compile the source for a device. Raises `BadOption` if a compiler is missing."""
    return CudaQuantiser() if device.type == "cuda" else ProcessorQuantiser()


class ProcessorQuantiser:
    """Library compiled by the C compiler of this machine."""

    def __init__(self) -> None:
        self._library = _compiled_library()

    def run(self, name: str, count: int, *arguments: int | Tensor) -> None:
        """Call a function in this thread."""
        getattr(self._library, name)(ctypes.c_longlong(count), *map(_c_argument, arguments))


class CudaQuantiser:
    """Kernels compiled by NVRTC through CuPy. They run in PyTorch's current stream."""

    def __init__(self) -> None:
        try:
            import cupy
        except ImportError as error:
            raise BadOption("coding on a CUDA device needs CuPy; install it, or use --codec host") from error
        self._cupy: Any = cupy
        module = cupy.RawModule(code=f"#define ON_DEVICE\n{_SOURCE.read_text()}", options=("--std=c++14",))
        self._kernels: dict[str, Launch] = {name: module.get_function(name) for name in _FUNCTIONS}

    def run(self, name: str, count: int, *arguments: int | Tensor) -> None:
        """Launch a kernel without waiting for its end."""
        threads = _BLOCK_THREADS.get(name, _DEFAULT_BLOCK_THREADS)
        values = (np.int64(count), *map(_cuda_argument, arguments))
        with self._cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            self._kernels[name]((-(-count // threads),), (threads,), values)


@lru_cache(maxsize=1)
def _compiled_library() -> ctypes.CDLL:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BadOption("--codec device on a CPU needs a C compiler; install gcc, or use --codec host")
    with tempfile.TemporaryDirectory(prefix="vcodec-quantiser-") as folder:
        library = Path(folder) / "quantiser.so"
        # Fused multiply-adds are off, because they round differently from NumPy.
        options = ["-O3", "-ffp-contract=off", "-shared", "-fPIC"]
        made = subprocess.run(
            [*compiler.split(), *options, "-o", str(library), str(_SOURCE), "-lm"],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise BadOption(f"{compiler} cannot compile {_SOURCE.name}: {made.stderr.strip()[:200]}")
        return ctypes.CDLL(str(library))


def _c_argument(value: int | Tensor) -> ctypes.c_void_p | ctypes.c_longlong:
    return ctypes.c_void_p(_address(value)) if isinstance(value, Tensor) else ctypes.c_longlong(value)


def _cuda_argument(value: int | Tensor) -> np.uint64 | np.int64:
    return np.uint64(_address(value)) if isinstance(value, Tensor) else np.int64(value)


def _address(tensor: Tensor) -> int:
    assert tensor.is_contiguous()
    return tensor.data_ptr()
