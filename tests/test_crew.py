"""A crew works for one caller, and stops when that one does."""

from __future__ import annotations

import threading

from virtual_codec.crew import crew
from virtual_codec.jobs import Abandoned, check_deadline


def test_a_crew_does_everything() -> None:
    with crew(3) as threads:
        assert [it.result() for it in [threads.submit(pow, number, 2) for number in range(20)]] == [
            number**2 for number in range(20)
        ]


def test_a_crew_that_is_dismissed_ends_what_runs_and_begins_no_more() -> None:
    begun, ended = threading.Event(), threading.Event()

    def toil() -> None:
        try:
            while True:
                begun.set()
                check_deadline()
        finally:
            ended.set()

    with crew(1) as threads:
        running, waiting = threads.submit(toil), threads.submit(toil)
        assert begun.wait(20)
    assert ended.is_set()
    assert isinstance(running.exception(), Abandoned)
    assert waiting.cancelled()
