"""The real codec in a worker that the operating system gives no more memory, from a stage of a job on until it ends."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, final

from virtual_codec.codec import VirtualCodec
from virtual_codec.counts import RunnerCounts
from virtual_codec.jobs import CompressResult, Job, RestoreResult
from virtual_codec.runner import BatchingRunner, Pixels, Runner, Task, open_device
from virtual_codec.runner._network import Network
from virtual_codec.store import Manifest, ModelStore

OPEN: Final = f"{__name__}:open_limited"
STAGES: Final = ("decode", "tile", "encode")


def open_limited(*, device: str, store: Path, scratch: Path) -> Limited:
    """A codec for jobs named `<stage> <times>`, which that often have no memory from there on; others have enough."""
    return Limited(device, store, scratch)


@final
class Limited:
    """A `JobHandler` around the real one."""

    def __init__(self, device: str, store: Path, scratch: Path) -> None:
        self._scratch = scratch
        self._shortage = Shortage()
        runner = LimitedRunner(BatchingRunner(open_device(device, threads=1)), self._shortage)
        self._codec = VirtualCodec(ModelStore(store), runner)
        self._codec.warm()

    def warm_model(self, model: str) -> None:
        self._codec.warm_model(model)

    def forget_model(self, model: str) -> None:
        self._codec.forget_model(model)

    def run(self, job: Job) -> CompressResult | RestoreResult:
        line = f"{job.request_id} {os.getpid()}"
        with (self._scratch / "log").open("a") as log:
            log.write(f"{line}\n")
        runs = (self._scratch / "log").read_text().splitlines().count(line)
        stage, _, times = job.request_id.partition(" ")
        if stage not in STAGES or runs > int(times):
            return self._codec.run(job)
        try:
            self._shortage.begin_at(stage)
            self._shortage.reach("decode")
            return self._codec.run(job)
        finally:
            self._shortage.end()


@final
class LimitedRunner:
    """A runner that tells when tiles begin and end."""

    def __init__(self, runner: Runner, shortage: Shortage) -> None:
        self._runner = runner
        self._shortage = shortage

    @property
    def notes(self) -> Mapping[str, str]:
        return self._runner.notes

    @property
    def counts(self) -> RunnerCounts:
        return self._runner.counts

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        return self._runner.prepare(store, manifest, key)

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        self._shortage.reach("tile")
        yield from self._runner.run(tasks)
        self._shortage.reach("encode")

    def close(self) -> None:
        self._runner.close()


@final
class Shortage:
    """No more memory for this process, and what it could still reuse taken: begun and ended by one thread."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def begin_at(self, stage: str) -> None:
        self._of_thread.stage = stage

    def reach(self, stage: str) -> None:
        """Have it begin, if this is the stage."""
        if getattr(self._of_thread, "stage", "") != stage:
            return
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        self._of_thread.held = held = []
        for size in (2**26, 2**23, 2**20, 2**17):
            try:
                while True:
                    held.append(bytearray(size))
            except MemoryError:
                pass

    def end(self) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self._of_thread.held = self._of_thread.stage = None
