"""Layout of a pool: its worker processes, their devices and their resources."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from virtual_codec.core_shares import CorePlace, create_table
from virtual_codec.serving._devices import (
    default_threads,
    default_workers,
    has_memory_for_spares,
    most_large_pixels,
)
from virtual_codec.serving._messages import Opening
from virtual_codec.serving._policy import PoolPolicy

_TABLE: Final = "cores"
_CPU: Final = "cpu"


@dataclass(frozen=True, kw_only=True)
class PlannedWorker:
    """Worker to start. All fields except its name and `is_spare` are as in `Opening`."""

    name: str
    factory: str
    device: str
    threads: int
    is_spare: bool = False
    cores: CorePlace | None = None
    device_process: Path | None = None

    def opening(self, arguments: Mapping[str, object]) -> Opening:
        """First message to the worker."""
        return Opening(
            worker_factory=self.factory,
            arguments=arguments,
            device=self.device,
            threads=self.threads,
            cores=self.cores,
            device_process=self.device_process,
        )


@final
class Layout:
    """Workers of a pool on its devices, and a folder for shared files, which `close` removes. Raises `OSError`."""

    def __init__(self, worker_factory: str, policy: PoolPolicy, devices: Sequence[str]) -> None:
        self._worker_factory = worker_factory
        self._policy = policy
        self._folder = Path(tempfile.mkdtemp(prefix="vcodec-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        lock = os.open(self._folder, os.O_RDONLY)
        self._unlock = weakref.finalize(self, os.close, lock)
        with contextlib.suppress(OSError):  # such as a file system without locks
            fcntl.flock(lock, fcntl.LOCK_SH)  # systemd-tmpfiles deletes old files in /tmp, but not in a locked folder
        self._table = self._folder / _TABLE
        self._workers = {  # a device that is listed twice gets twice as many workers
            device: times * (policy.workers_per_device or default_workers(len(devices)))
            for device, times in Counter(devices).items()
        }
        self._most_large_pixels = most_large_pixels(sum(self._workers.values()))
        places = sum(self._workers.values()) + len(self._workers)
        create_table(self._table, places)
        self._places = iter(range(places))

    @property
    def most_large_pixels(self) -> float:
        """Pixels of large images that fit into memory at the same time."""
        return self._most_large_pixels

    def most_ready(self, device: str) -> int:
        """Number of workers of a device that take jobs; any further worker is a spare."""
        return self._workers[device]

    def device_processes(self) -> Iterator[PlannedWorker]:
        """Device processes, which own a device for several workers and have no job threads."""
        for device in self._workers:
            if (path := self._device_process(device)) is not None:
                assert self._policy.device_factory is not None  # without a factory there is no device process
                factory = self._policy.device_factory
                name = f"{device}/device"
                yield PlannedWorker(name=name, factory=factory, device=device, threads=0, device_process=path)

    def workers(self) -> Iterator[PlannedWorker]:
        """Workers that take jobs."""
        for device, count in self._workers.items():
            for index in range(count):
                yield self._planned(f"{device}/{index}", device)

    def spares(self) -> Iterator[PlannedWorker]:
        """Spare workers, one for each device."""
        for device in sorted(self._workers):
            yield self._planned(f"{device}/spare", device, is_spare=True)

    def wants_spares(self) -> bool:
        """True if there are spares; by default, if a device has only one worker."""
        if self._policy.standby != "auto":
            return self._policy.standby == "on"
        return min(self._workers.values()) == 1 and has_memory_for_spares(len(self._workers))

    def close(self) -> None:
        """Remove the folder. Processes that still map one of its files keep the file until they end."""
        self._remove()
        self._unlock()

    def _planned(self, name: str, device: str, *, is_spare: bool = False) -> PlannedWorker:
        threads = self._policy.threads or default_threads(device, sum(self._workers.values()))
        cores = None
        if device == _CPU and self._policy.cores is not None:
            cores = CorePlace(path=self._table, place=next(self._places), cores=self._policy.cores)
        return PlannedWorker(
            name=name,
            factory=self._worker_factory,
            device=device,
            threads=threads,
            is_spare=is_spare,
            cores=cores,
            device_process=self._device_process(device),
        )

    def _device_process(self, device: str) -> Path | None:
        if device == _CPU or self._workers[device] == 1 or self._policy.device_factory is None:
            return None
        return self._folder / f"{list(self._workers).index(device)}.socket"
