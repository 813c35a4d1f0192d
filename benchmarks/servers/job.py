"""Job of every compared server, and the record of the processes that run jobs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from virtual_codec.codec import VirtualCodec

PIDS = "BENCHMARK_PIDS"  # variable with a folder, in which every process that runs jobs makes a file named by its id


class Job(Protocol):
    """Bytes in, bytes out."""

    media_type: str

    def __call__(self, data: bytes) -> bytes: ...


class Restore:
    media_type = "image/png"

    def __init__(self, threads: int) -> None:
        self._codec = _open(threads)

    def __call__(self, data: bytes) -> bytes:
        return self._codec.restore(data).image


class Compress:
    media_type = "image/jpeg"

    def __init__(self, threads: int) -> None:
        self._codec = _open(threads)

    def __call__(self, data: bytes) -> bytes:
        return self._codec.compress(data).stream


JOBS: dict[str, Callable[[int], Job]] = {"decompress": Restore, "compress": Compress}


def parse_arguments() -> argparse.Namespace:
    """Command line of all contenders."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=tuple(JOBS), default="decompress")
    parser.add_argument("--processes", type=int, default=1, help="number of processes that run jobs (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch threads of each process (default 1)")
    parser.add_argument("--batch", type=int, default=1, help="largest batch, if the server can batch (default 1)")
    parser.add_argument(
        "--timeout", type=float, default=130.0, help="timeout in seconds, if the server has one (default 130)"
    )
    parser.add_argument("port", type=int)
    return parser.parse_args()


def _open(threads: int) -> VirtualCodec:  # only processes that run jobs import torch
    from virtual_codec.codec import open_codec
    from virtual_codec.store import default_model_store

    codec = open_codec(default_model_store(), device="cpu", threads=threads)
    if folder := os.environ.get(PIDS):
        Path(folder, str(os.getpid())).touch()
    return codec
