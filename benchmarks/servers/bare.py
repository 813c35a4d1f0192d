"""Upper limit of the comparison: the same codec in loops without a server."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.servers.contenders import Variant
from benchmarks.servers.job import JOBS, Job
from virtual_codec.load_test import LoadProfile, Report, Request, Sample


class Bare:
    """Processes with a warm codec that wait for work."""

    def __init__(self, pipes: Sequence[Connection], threads: int) -> None:
        self._pipes = pipes
        self._threads = threads

    def run(self, load: LoadProfile, contents: Sequence[bytes], *, alone: bool = False) -> Report:
        """Run the jobs in all processes for the time of the load, or with `alone` one at a time in one process."""
        loops = 1 if alone else self._threads
        pipes = self._pipes[:1] if alone else self._pipes
        start = time.perf_counter()  # the processes of a machine share this clock
        order = Order(requests=load.requests, contents=contents, seconds=load.seconds, loops=loops, start=start)
        for pipe in pipes:
            pipe.send(order)
        samples = [sample for pipe in pipes for sample in pipe.recv()]
        return Report.of(load, samples, time.perf_counter() - start)


@contextlib.contextmanager
def bare(variant: Variant, *, task: str = "decompress") -> Iterator[Bare]:
    """Start processes with a warm codec each."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(variant.processes)]
    workers = [context.Process(target=_work, args=(theirs, task, variant.threads)) for _, theirs in pairs]
    for worker in workers:
        worker.start()
    try:
        for ours, _ in pairs:
            ours.recv()
        yield Bare([ours for ours, _ in pairs], max(2, variant.threads) if variant.processes == 1 else 1)
    finally:
        for ours, _ in pairs:
            with contextlib.suppress(OSError):
                ours.send(None)
        for worker in workers:
            worker.join(20)
            worker.kill()


@dataclass(frozen=True, kw_only=True)
class Order:
    """Work of one process: jobs in several threads until the time is over."""

    requests: Sequence[Request]
    contents: Sequence[bytes]
    seconds: float
    loops: int
    start: float


def _work(pipe: Connection, task: str, threads: int) -> None:
    job = JOBS[task](threads)
    pipe.send("ready")
    while (order := pipe.recv()) is not None:
        turns = itertools.cycle(zip(order.contents, order.requests, strict=True))
        samples: list[Sample] = []
        workers = [threading.Thread(target=_loop, args=(job, order, turns, samples)) for _ in range(order.loops)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        pipe.send(samples)


def _loop(job: Job, order: Order, turns: Iterator[tuple[bytes, Request]], samples: list[Sample]) -> None:
    while (due_s := time.perf_counter() - order.start) < order.seconds:
        content, request = next(turns)
        job(content)
        finished_s = time.perf_counter() - order.start
        samples.append(
            Sample(
                label=request.label,
                due_s=due_s,
                sent_s=due_s,
                finished_s=finished_s,
                status="200",
                pixels=request.pixels,
            )
        )
