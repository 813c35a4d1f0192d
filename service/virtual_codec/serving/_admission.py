"""Admission control: refusal of jobs that the workers could not do in time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from virtual_codec.errors import NoWorker
from virtual_codec.jobs import check_deadline
from virtual_codec.serving._backlog import refuse_above, retry_after_s
from virtual_codec.serving._slot import WorkerSlot

_USABLE_SHARE: Final = 0.75  # of the time until a deadline: estimates cannot see what else the machine does


def check_workers(workers: Sequence[WorkerSlot], *, is_starting: bool) -> None:
    """Raise `NoWorker` where no worker is ready or about to be. `workers` are those that are not spares."""
    if all(slot.is_hopeless for slot in workers) and (workers or not is_starting):
        reasons = "; ".join(sorted({slot.reason for slot in workers})) or "not started"
        wait_s = min((slot.retry_s for slot in workers), default=1.0)
        raise NoWorker(f"no worker is up ({reasons})", retry_after_s=retry_after_s(wait_s))


def check_wait(wait_s: float, limit_s: float, deadline: float | None, own_s: float) -> None:
    """Raise `Overloaded` for a wait above the limit, or that leaves a job of `own_s` too little time to its deadline.

    A job that is given up at its deadline has cost the others their turn. Raises `DeadlineExceeded` where the deadline
    (absolute, on `time.monotonic`'s clock) has passed.
    """
    refuse_above(limit_s, wait_s)
    check_deadline(deadline)
    if deadline is not None and wait_s > 0:
        refuse_above(_USABLE_SHARE * (deadline - time.monotonic()) - own_s, wait_s)
