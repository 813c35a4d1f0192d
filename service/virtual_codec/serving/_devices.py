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
_WORKER_BYTES: Final = 2**30  # room for one, most of it for the images it works on
_IDLE_BYTES: Final = 300 * 2**20
_BYTES_PER_PIXEL: Final = 64  # of an image while it is compressed
_SPARE_BYTES: Final = 4 * 2**30  # a worker takes about 1 GiB; a spare must not be what makes the system swap
_CGROUP_FILES: Final = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),  # version 1, on older systems
)
_NO_LIMIT: Final = 2**60  # version 1 says so with a number of that size
_COUNT: Final = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"


def find_devices(wanted: str) -> list[str]:
    """Names of the devices that "auto", or a list with commas, stands for. Takes seconds where there is a GPU."""
    if wanted != "auto":
        return [name.strip() for name in wanted.split(",")]
    return [f"cuda:{index}" for index in range(_cuda_devices())] or ["cpu"]


def default_workers(devices: int) -> int:
    """Number of workers on each of so many `devices`: one a core, since an interpreter runs on one core at a time.

    It follows the cores that this process may use, in a container with a quota as well, as far as memory allows.
    """
    available = available_bytes()
    most = usable_cores() if available is None else available // _WORKER_BYTES
    return max(1, min(usable_cores() // devices, most))


def most_large_pixels(workers: int) -> float:
    """Pixels of large images that memory has room for beside so many workers; infinite where that is not known."""
    available = available_bytes()
    if available is None:
        return math.inf
    return max(0.0, (available - workers * _IDLE_BYTES) / _BYTES_PER_PIXEL)


def default_threads(device: str, workers: int) -> int:
    """Number of job threads of a worker on `device`, one of so many `workers` on this machine.

    All together are at least two, so that a small image need not wait for a large one, and that one image is decoded
    while another is on the device.
    """
    share = -(-usable_cores() // workers)
    if device != "cpu":
        return min(16, max(2, share))
    return min(4, share if workers > 1 else max(2, share))


def has_memory_for_spares(count: int) -> bool:
    """True if memory for so many more workers is free. False where that cannot be found out."""
    available = available_bytes()
    return available is not None and available >= count * _SPARE_BYTES


def available_bytes() -> int | None:
    """Free memory of this machine, or of this container, in bytes; None where that cannot be found out."""
    known = [amount for amount in (_available_bytes(), cgroup_bytes()) if amount is not None]
    return min(known, default=None)


def cgroup_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory in bytes that this container may still take; None where nothing limits it."""
    for limit_name, used_name in _CGROUP_FILES:
        try:
            limit, used = ((root / name).read_text().strip() for name in (limit_name, used_name))
            return None if limit == "max" or int(limit) >= _NO_LIMIT else int(limit) - int(used)
        except (OSError, ValueError):
            continue
    return None


def _cuda_devices() -> int:
    # Only torch knows what it can use (driver, build, visibility), and it is not loaded into this process.
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return 0
    try:
        answer = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True, timeout=300, check=True)
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
