"""Devices of this machine, its free memory, and the number of job threads that suits them."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from pathlib import Path
from typing import Final

from virtual_codec.cores import usable_cores
from virtual_codec.logs import Event

_LOG: Final = logging.getLogger(__name__)
_WORKER_BYTES: Final = 2**30  # memory planned for one worker, mostly for the images that it works on
_IDLE_BYTES: Final = 300 * 2**20
_BYTES_PER_PIXEL: Final = 64  # memory while an image is compressed
_SPARE_BYTES: Final = 4 * 2**30  # a worker takes about 1 GiB; a spare must not make the system swap
_CGROUP_FILES: Final = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),  # version 1, on older systems
)
_NO_LIMIT: Final = 2**60  # cgroup version 1 states a number of this size if there is no limit
_COUNT_PROGRAM: Final = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"


def find_devices(wanted: str) -> list[str]:
    """Names of the devices for "auto" or a comma-separated list. Takes seconds if there is a GPU."""
    if wanted != "auto":
        return [name.strip() for name in wanted.split(",")]
    return [f"cuda:{index}" for index in range(_cuda_devices())] or ["cpu"]


def default_workers(devices: int) -> int:
    """Number of workers on each of `devices` devices: one for each core, since Python runs on one core at a time.

    It counts the cores that this process may use, including a container's CPU quota, and is limited by memory.
    """
    available = available_bytes()
    most = usable_cores() if available is None else available // _WORKER_BYTES
    return max(1, min(usable_cores() // devices, most))


def most_large_pixels(workers: int) -> float:
    """Pixels of large images that fit into memory beside `workers` workers; infinite if the memory is unknown."""
    available = available_bytes()
    if available is None:
        return math.inf
    return max(0.0, (available - workers * _IDLE_BYTES) / _BYTES_PER_PIXEL)


def default_threads(device: str, workers: int) -> int:
    """Number of job threads of a worker on `device`, if this machine has `workers` workers.

    The workers together have at least two threads, so that a small image does not wait for a large one, and one image
    is decoded while another is on the device.
    """
    share = -(-usable_cores() // workers)
    if device != "cpu":
        return min(16, max(2, share))
    return min(4, share if workers > 1 else max(2, share))


def has_memory_for_spares(count: int) -> bool:
    """True if memory for that many more workers is free. False if the memory is unknown."""
    available = available_bytes()
    return available is not None and available >= count * _SPARE_BYTES


def available_bytes() -> int | None:
    """Free memory of this machine, or of this container, in bytes; None if it is unknown."""
    known = [amount for amount in (_available_bytes(), cgroup_bytes()) if amount is not None]
    return min(known, default=None)


def cgroup_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory in bytes that this container may still allocate; None without a limit."""
    for limit_name, used_name in _CGROUP_FILES:
        try:
            limit, used = ((root / name).read_text().strip() for name in (limit_name, used_name))
            return None if limit == "max" or int(limit) >= _NO_LIMIT else int(limit) - int(used)
        except (OSError, ValueError):
            continue
    return None


def _cuda_devices() -> int:
    # Only torch knows which devices it can use (driver, build, visibility), and this process does not load torch.
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return 0
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _COUNT_PROGRAM], capture_output=True, text=True, timeout=300, check=True
        )
        return int(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _LOG.warning(Event("no_cuda", reason=error))
        return 0


def _available_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
