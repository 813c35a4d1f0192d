"""Outcomes of a worker slot: events of its worker and its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from virtual_codec.serving._job_queue import QueuedJob
from virtual_codec.serving._messages import Answer

Cause = Literal["crash", "hang", "start"]


@final
class WorkerEnded(Exception):
    """The worker ended before it answered an order."""


@dataclass(frozen=True, kw_only=True)
class WorkerReady:
    """Outcome: the worker is warm and takes jobs."""


@dataclass(frozen=True, kw_only=True)
class JobAnswered:
    """Outcome: the worker answered a job, which has left the slot."""

    job: QueuedJob
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class WorkerDied:
    """Outcome: the worker has ended. `is_blamed` is False if an order, not a job, may have ended it."""

    cause: Cause
    jobs: Sequence[QueuedJob]
    is_blamed: bool


Outcome = WorkerReady | JobAnswered
