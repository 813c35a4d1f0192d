"""Shares of a machine's cores for several processes, by the number of jobs that each runs."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

_MAX_JOBS: Final = 255  # a place is one byte, so that it is written and read atomically


@dataclass(frozen=True, kw_only=True)
class CorePlace:
    """Place of one process in the table of running jobs at `path`, and the number of shared cores."""

    path: Path
    place: int
    cores: int


@final
class CoreShares:
    """Share of one process in the cores, which depends on the jobs that all processes run at the moment.

    The processes map one file, the table, which has one byte for each process with its number of running jobs. A
    process may use the cores in proportion to its jobs, so a process that works alone may use all cores. No process
    waits for another.
    """

    def __init__(self, place: CorePlace) -> None:
        self._place = place.place
        self._all = place.cores
        with place.path.open("r+b") as file:
            self._table = mmap.mmap(file.fileno(), 0)
        self._lock = threading.Lock()
        self._jobs = 0
        self._table[self._place] = 0

    @property
    def total(self) -> int:
        """Number of cores that the processes share."""
        return self._all

    @property
    def usable(self) -> int:
        """Number of cores that this process may use now, at least one."""
        own = max(1, self._jobs)
        others = sum(self._table[:]) - self._table[self._place]
        return max(1, self._all * own // (own + others))

    @contextmanager
    def job(self) -> Iterator[None]:
        """Count a job of this process while it runs."""
        self._change_jobs(1)
        try:
            yield
        finally:
            self._change_jobs(-1)

    def _change_jobs(self, more: int) -> None:
        with self._lock:
            self._jobs += more
            self._table[self._place] = min(self._jobs, _MAX_JOBS)


def create_table(path: Path, places: int) -> None:
    """Write the table of `processes` processes without jobs."""
    path.write_bytes(bytes(places))


def clear_place(place: CorePlace) -> None:
    """Clear the place of a process that has ended, with its number of jobs."""
    with place.path.open("r+b") as file:
        file.seek(place.place)
        file.write(b"\0")
