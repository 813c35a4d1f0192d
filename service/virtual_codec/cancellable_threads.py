"""Threads that run many jobs for one caller, and stop when the caller stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar, final

from virtual_codec.jobs import deadline_scope

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


@final
class CancellableThreads:
    """Thread pool whose running calls can be abandoned: after `cancel`, their next `check_deadline` raises."""

    def __init__(self, size: int) -> None:
        self._executor = ThreadPoolExecutor(size)
        self._cancelled = threading.Event()

    def submit(self, call: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs) -> Future[_Made]:
        """Schedule a call. Calls start in the order of submission."""

        def run_in_scope() -> _Made:
            with deadline_scope(None, self._cancelled.is_set):
                return call(*given, **named)

        return self._executor.submit(run_in_scope)

    def cancel(self) -> None:
        """Drop waiting calls, make running ones raise `Abandoned` at their next `check_deadline`, and join all."""
        self._cancelled.set()
        self._executor.shutdown(cancel_futures=True)


@contextmanager
def cancellable_threads(size: int) -> Iterator[CancellableThreads]:
    """Context with a pool of `size` threads. Calls that are unfinished at its end are abandoned."""
    threads = CancellableThreads(size)
    try:
        yield threads
    finally:
        threads.cancel()
