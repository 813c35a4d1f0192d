"""Cancellable threads work for one caller, and stop when that caller does."""

from __future__ import annotations

import threading

from virtual_codec.cancellable_threads import cancellable_threads
from virtual_codec.jobs import Abandoned, check_deadline


def test_every_call_is_made() -> None:
    with cancellable_threads(3) as threads:
        assert [it.result() for it in [threads.submit(pow, number, 2) for number in range(20)]] == [
            number**2 for number in range(20)
        ]


def test_a_cancelled_pool_abandons_running_calls_and_drops_waiting_ones() -> None:
    begun, ended = threading.Event(), threading.Event()

    def toil() -> None:
        try:
            while True:
                begun.set()
                check_deadline()
        finally:
            ended.set()

    with cancellable_threads(1) as threads:
        running, waiting = threads.submit(toil), threads.submit(toil)
        assert begun.wait(20)
    assert ended.is_set()
    assert isinstance(running.exception(), Abandoned)
    assert waiting.cancelled()
