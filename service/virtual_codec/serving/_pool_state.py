"""Snapshots of a pool and its workers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from virtual_codec.counts import RunnerCounts


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """Snapshot of one worker, which runs up to `threads` jobs at the same time.

    A spare waits, warm, to replace another worker of its device. A device process, which owns a device for several
    workers, has no threads.
    """

    name: str
    device: str
    is_ready: bool
    is_spare: bool = False
    jobs: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class PoolState:
    """Snapshot of the pool, and its counters since it was opened. Times in seconds.

    `queued_s` is the estimated work in the queue for each thread, which the policy's `queue_limit_s` bounds;
    `estimated_wait_s` is the wait of a new job, running jobs included. `counts` are the runners' counters by device.
    `notes` map missing features of the platform to their replacements, `reasons` say why workers are not ready.
    `restarts` is by cause: crash, hang, start.
    """

    workers: tuple[WorkerState, ...] = ()
    running_items: int = 0
    queued_items: int = 0
    queued_pixels: int = 0
    oldest_age_s: float = 0.0
    queued_s: float = 0.0
    estimated_wait_s: float = 0.0
    is_stopping: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    quarantined: int = 0
    cancelled: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, RunnerCounts] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """True if a warm worker can take a job."""
        lacking = {worker.device for worker in self.workers if not (worker.threads or worker.is_ready)}
        return not self.is_stopping and any(
            worker.is_ready and worker.threads and worker.device not in lacking for worker in self.workers
        )
