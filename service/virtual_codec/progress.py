"""Progress of a job through its networks, reported to a listener in the same thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int], None]  # tiles done, tiles of this pass; a job has one pass or several


@contextmanager
def progress_scope(listener: Listener) -> Iterator[None]:
    """Scope in which `listener` is called after every tile of this thread's jobs."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_progress(done: int, total: int) -> None:
    """Report that a network has processed `done` of the `total` tiles of a pass."""
    if (listener := _LISTENER.get()) is not None:
        listener(done, total)


_LISTENER: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)
