"""The runner whose tiles meet: several jobs in threads of their own, one device.

job ──► tiles ─┐
job ──► tiles ─┼─► batcher ──► slots (a thread each) ──► device ──► results, each to its job
job ──► tiles ─┘
"""

from __future__ import annotations

import atexit
import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import is_device_lost, is_out_of_memory
from virtual_codec.jobs import Abandoned, check_deadline
from virtual_codec.runner._batcher import Batcher, Item
from virtual_codec.runner._device import Device, Pixels, Task
from virtual_codec.runner._network import Network
from virtual_codec.runner._tally import BatchTally
from virtual_codec.store import Manifest, ModelStore

_LOOK_S: Final = 0.1  # how often a job that waits looks whether it is still wanted


@dataclass(eq=False, kw_only=True)
class _Ordered(Item):
    """A tile, and where its result or error will be."""

    task: Task
    done: threading.Event = field(default_factory=threading.Event)
    result: Pixels | None = None
    error: BaseException | None = None


@final
class BatchingRunner:
    """Takes tiles from any number of threads and runs those that are alike together.

    It never waits for company: a free slot takes what is there. A batch that does not fit into memory halves the
    budget and is done again in parts; one that fails otherwise is split until only the guilty tile fails.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._batcher = Batcher(device.limits)
        self._tally = BatchTally()
        self._changed = threading.Condition()
        self._owners = itertools.count()
        self._running = 0
        self._is_closed = False
        self._ahead = 1 + device.limits.max_items  # tiles of one job that wait or run: memory is bounded by jobs
        self._slots = [
            threading.Thread(target=self._serve, name=f"slot-{index}", daemon=True) for index in range(device.slots)
        ]
        for slot in self._slots:
            slot.start()
        # Python's end kills threads that are in PyTorch's C++ by unwinding it, which C++ answers with `terminate`.
        atexit.register(self.close)

    @property
    def notes(self) -> Mapping[str, str]:
        """Those of the device, and the most tiles of a batch."""
        return {**self._device.notes, "batch": str(self._device.limits.max_items)}

    @property
    def counts(self) -> RunnerCounts:
        """What ran since it was opened, and what waits."""
        with self._changed:
            return replace(
                self._tally.counts,
                waiting_items=len(self._batcher),
                waiting_pixels=self._batcher.waiting_pixels,
                budget_pixels=self._batcher.budget_pixels,
            )

    @property
    def owners(self) -> int:
        """How many jobs have tiles here."""
        with self._changed:
            return self._batcher.owners

    @property
    def running(self) -> int:
        """How many batches run now."""
        return self._running

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""
        return self._device.prepare(store, manifest, key)

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        """The results of tiles, in their order. A few run ahead of the one that is asked for.

        Raises `Abandoned` when the runner is closed.
        """
        owner = next(self._owners)
        ahead: deque[_Ordered] = deque()
        try:
            for task in tasks:
                check_deadline()
                ahead.append(self._order(task, owner))
                if len(ahead) > self._ahead:
                    yield _awaited(ahead[0])
                    ahead.popleft()
            while ahead:
                yield _awaited(ahead[0])
                ahead.popleft()
        finally:
            with self._changed:
                for ordered in ahead:
                    self._batcher.discard(ordered)
                self._batcher.forget(owner)

    def close(self) -> None:
        """End the slots, after the batches that run. Tiles that wait, and those that come later, are abandoned.

        At the latest that is done when the process ends.
        """
        atexit.unregister(self.close)
        with self._changed:
            self._is_closed = True
            for item in self._batcher.clear():
                assert isinstance(item, _Ordered)
                item.error = Abandoned()
                item.done.set()
            self._changed.notify_all()
        for slot in self._slots:
            slot.join()

    def _order(self, task: Task, owner: int) -> _Ordered:
        ordered = _Ordered(key=task.key, pixels=task.pixels.shape[0] * task.pixels.shape[1], owner=owner, task=task)
        with self._changed:
            if self._is_closed:
                raise Abandoned
            self._batcher.add(ordered)
            self._changed.notify()
        return ordered

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not (batch := self._batcher.take(is_idle=not self._running)):
                    if self._is_closed:
                        return
                    self._changed.wait()
                beside = self._running
                self._running += 1
            try:
                self._attempt([item for item in batch if isinstance(item, _Ordered)], beside)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()
            del batch  # its results are not kept until the next one comes

    def _attempt(self, batch: list[_Ordered], beside: int) -> None:
        try:
            results = self._tally.timed(batch, lambda: self._device.run([item.task for item in batch], beside=beside))
        except BaseException as error:
            if not is_out_of_memory(error):
                self._split(batch, beside, error)
                return
            no_memory = error.with_traceback(None)  # which holds what the batch had
        else:
            with self._changed:
                self._batcher.succeeded()
            for item, result in zip(batch, results, strict=True):
                item.result = result
                item.done.set()
            return
        self._shrink(batch, no_memory)

    def _shrink(self, batch: list[_Ordered], error: BaseException) -> None:
        self._device.release_memory()
        if len(batch) == 1 and batch[0].lonely:
            self._fail(batch, error)
            return
        with self._changed:
            self._tally.out_of_memory()
            self._batcher.ran_out_of_memory(list(batch))
            batch[0].lonely = len(batch) == 1  # it did not fit beside others: once more while nothing else runs
            self._batcher.put_back(list(batch))

    def _split(self, batch: list[_Ordered], beside: int, error: BaseException) -> None:
        if len(batch) == 1 or is_device_lost(error):
            self._fail(batch, error)
            return
        self._tally.bisected()
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            self._attempt(half, beside)

    def _fail(self, batch: list[_Ordered], error: BaseException) -> None:
        self._tally.failed(len(batch))
        for item in batch:
            item.error = error
            item.done.set()


def _awaited(ordered: _Ordered) -> Pixels:
    while not ordered.done.wait(_LOOK_S):
        check_deadline()
    if ordered.error is not None:
        raise ordered.error
    assert ordered.result is not None
    return ordered.result
