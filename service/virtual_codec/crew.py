"""Threads that work on many jobs for one caller, and stop when that caller does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar, final

from virtual_codec.jobs import attended

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


@final
class Crew:
    """So many threads. What they do is `Abandoned` at its next `check_deadline` once it is dismissed."""

    def __init__(self, size: int) -> None:
        self._executor = ThreadPoolExecutor(size)
        self._dismissed = threading.Event()

    def submit(self, do: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs) -> Future[_Made]:
        """Have it done, in the order of asking."""

        def attend() -> _Made:
            with attended(None, self._dismissed.is_set):
                return do(*given, **named)

        return self._executor.submit(attend)

    def dismiss(self) -> None:
        """Begin nothing more, end what runs, and wait for that."""
        self._dismissed.set()
        self._executor.shutdown(cancel_futures=True)


@contextmanager
def crew(size: int) -> Iterator[Crew]:
    """A crew for the time of a block. What nobody has waited for by its end, an exception above all, is abandoned."""
    hired = Crew(size)
    try:
        yield hired
    finally:
        hired.dismiss()
