"""Admission control: refuses jobs that the workers could not finish in time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from virtual_codec.errors import DeadlineExceeded, NoWorker
from virtual_codec.jobs import check_deadline
from virtual_codec.serving._backlog import refuse_above, retry_after_s
from virtual_codec.serving._slot import WorkerSlot

_USABLE_SHARE: Final = 0.75  # share of the time until a deadline that estimates may use: they do not know other load


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of a new job in seconds of one thread: the estimate, and a lower bound."""

    estimate_s: float = 0.0
    least_s: float = 0.0


def check_workers(workers: Sequence[WorkerSlot], *, is_starting: bool) -> None:
    """Raise `NoWorker` if no worker is ready or about to be. `workers` are the workers without spares."""
    if all(slot.fails_to_start for slot in workers) and (workers or not is_starting):
        reasons = "; ".join(sorted({slot.reason for slot in workers})) or "not started"
        wait_s = min((slot.retry_s for slot in workers), default=1.0)
        raise NoWorker(f"no worker is ready ({reasons})", retry_after_s=retry_after_s(wait_s))


def check_wait(*, queued_s: float, wait_s: float, limit_s: float, deadline: float | None, cost: Cost) -> None:
    """Refuse a job that would wait too long, or whose deadline leaves too little time.

    `queued_s` is the queued work for each thread, bounded by `limit_s`; `wait_s` counts running jobs too. `deadline` is
    absolute, on `time.monotonic`'s clock. (A job that is given up at its deadline wastes the time of other jobs.)
    Raises `Overloaded` if the queue is too long, `DeadlineExceeded` if the deadline has passed or cannot be met even
    alone.
    """
    refuse_above(limit_s, queued_s, wait_s)
    check_deadline(deadline)
    if deadline is None:
        return
    time_left_s = deadline - time.monotonic()
    if cost.least_s > time_left_s:
        raise DeadlineExceeded(
            f"the job takes about {cost.estimate_s:.1f} seconds, but its deadline leaves {time_left_s:.1f}; "
            "send a smaller image or allow more time",
            limit=round(time_left_s, 1),
            actual=round(cost.estimate_s, 1),
        )
    if wait_s > 0:
        refuse_above(_USABLE_SHARE * time_left_s - cost.estimate_s, wait_s)
