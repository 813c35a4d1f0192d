"""Table of the compared servers: the command of each, and its numbers of processes and threads."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.servers import processes
from benchmarks.servers.job import PIDS
from virtual_codec.load_test import SERVE, temporary_server

CORES = os.cpu_count() or 1
OURS = "virtual-codec"
BARE = "in-process"
_START_LIMIT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Numbers of worker processes and of torch threads in each."""

    processes: int
    threads: int

    def __str__(self) -> str:
        return f"{self.processes} x {self.threads}"


# One process for each core, or one process with all cores.
VARIANTS = (Variant(processes=CORES, threads=1), Variant(processes=1, threads=CORES))


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Server of the comparison. This project's server has its defaults, others the better of `VARIANTS`."""

    name: str
    module: str
    distribution: str
    ready: str
    variants: Sequence[Variant] = VARIANTS
    can_batch: bool = False


@dataclass(frozen=True, kw_only=True)
class Served:
    """Running server of the comparison."""

    contender: Contender
    url: str
    pid: int
    pids: Path = field(repr=False)

    def family(self) -> list[int]:
        return processes.family(self.pid)

    def workers(self) -> list[int]:
        """Ids of the processes that run jobs."""
        if self.contender.name == OURS:
            return [pid for pid in self.family() if "virtual_codec.serving._worker" in processes.command_of(pid)]
        return [int(file.name) for file in self.pids.iterdir()]


CONTENDERS = (
    Contender(name=OURS, module="", distribution="virtual-codec", ready="/readyz", variants=()),
    Contender(
        name="LitServe",
        module="benchmarks.servers.litserve_server",
        distribution="litserve",
        ready="/health",
        can_batch=True,
    ),
    Contender(
        name="Ray Serve", module="benchmarks.servers.ray_server", distribution="ray", ready="/ready", can_batch=True
    ),
    Contender(
        name="plain FastAPI", module="benchmarks.servers.plain_fastapi", distribution="fastapi", ready="/healthz"
    ),
)


def installed(contender: Contender) -> str:
    """Version of a server, or "" if it is not installed."""
    try:
        return importlib.metadata.version(contender.distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


@contextlib.contextmanager
def serving(
    contender: Contender, variant: Variant | None, *, task: str = "decompress", batch: int = 1, timeout_s: float = 130.0
) -> Iterator[Served]:
    """Start a server for a block and wait until it is ready. All its processes are ended after the block."""
    command: Sequence[str] = SERVE
    if variant is not None:
        flags = {"task": task, "processes": variant.processes, "threads": variant.threads, "batch": batch}
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", contender.module, *words, "--timeout", str(timeout_s)]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        known: dict[int, str] = {}
        try:
            with temporary_server(command, ready=contender.ready, environment={PIDS: folder}) as (url, pid):
                served = Served(contender=contender, url=url, pid=pid, pids=Path(folder))
                try:
                    _wait_for_workers(served, 1 if variant is None else variant.processes)
                    yield served
                finally:
                    known = processes.identities(processes.family(pid))
        finally:
            processes.kill_left(known)  # LitServe leaves processes behind


def _wait_for_workers(served: Served, count: int) -> None:
    """Wait for all workers, because a server may report readiness with the first one."""
    end = time.monotonic() + _START_LIMIT_S
    while len(served.workers()) < count:
        if time.monotonic() > end:
            raise RuntimeError(f"{served.contender.name} has {len(served.workers())} of {count} workers")
        time.sleep(0.2)
