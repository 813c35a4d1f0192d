"""The pool: takes jobs, refuses what cannot be done in time, and has them done by workers.

    submit ──► admission ──► queue ──► worker process (whole jobs, bytes in, bytes out) ──► result

To add a pool, write a module with a class that keeps `Pool`'s promises and add a row to `POOLS`.
Nothing here loads torch: what does the work is named by an import string that only a worker resolves.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from virtual_codec.counts import RunnerCounts
from virtual_codec.jobs import CompressResult, Job, RestoreResult

OPEN_CODEC: Final = "virtual_codec.codec:open_codec"

Result = CompressResult | RestoreResult


class JobRunner(Protocol):
    """What a worker opens and gives its jobs to; `virtual_codec.codec.VirtualCodec` is one.

    It may have an attribute `notes`, a mapping of text to text: what this platform lacks, and what replaces
    it; and an attribute `counts`, the `RunnerCounts` of its networks.
    """

    def run(self, job: Job) -> Result:
        """Do the whole job. Called from several threads. Raises `VirtualCodecError`."""

    def load(self, model: str) -> None:
        """Make the model of that id the default, beside the jobs: loaded, warm and proven.

        Raises `VirtualCodecError`, and then nothing has changed.
        """

    def unload(self, model: str) -> None:
        """Forget the model of that id until a job asks for it again.

        If it was just made the default, and the one before it was not unloaded, that is the default again.
        """


@dataclass(frozen=True, kw_only=True)
class PoolPolicy:
    """How many workers on what, and how much may wait.

    `devices` is "auto" or names with commas between; `threads` None lets device and cores decide.
    `queue_limit_s` bounds the estimated wait of a new job. A worker is killed when a job of its is
    `hang_grace_s` past its deadline (a job without one gets `job_timeout_s`), and when it takes more than
    `start_timeout_s` to open.
    """

    devices: str = "auto"
    workers_per_device: int = 1
    threads: int | None = None
    standby: Literal["auto", "on", "off"] = "auto"
    queue_limit_s: float = 60.0
    job_timeout_s: float = 600.0
    hang_grace_s: float = 20.0
    start_timeout_s: float = 300.0
    stop_grace_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("queue_limit_s", "job_timeout_s", "hang_grace_s", "start_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.workers_per_device < 1:
            raise ValueError(f"workers_per_device must be at least 1, got {self.workers_per_device}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """One worker now, which does up to `threads` jobs at a time.

    `is_spare` ones wait, warm, to take the place of another on their device.
    """

    name: str
    device: str
    is_ready: bool
    is_spare: bool = False
    jobs: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class PoolState:
    """The pool now, and what it has counted since it was opened. Times in seconds.

    `counts` is what runners counted, by device.

    `notes` is what workers replaced for want of something better, `reasons` why a worker is not ready.
    `restarts` is by reason: crash, hang, start.
    """

    workers: tuple[WorkerState, ...] = ()
    running_items: int = 0
    queued_items: int = 0
    queued_pixels: int = 0
    oldest_age_s: float = 0.0
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
        """Whether a warm worker is there to take a job."""
        return not self.is_stopping and any(worker.is_ready for worker in self.workers)


class Pool(Protocol):
    """Where jobs are done. All methods are called on one event loop."""

    async def start(self) -> None:
        """Open the workers; returns without waiting until they are warm."""

    async def stop(self) -> None:
        """Take nothing new, let what runs finish within the policy's grace, end the workers."""

    def admit(self, deadline: float | None = None) -> None:
        """Raise `Draining`, `NoWorker` or `Overloaded` when a job would not be taken now.

        One that would wait until its deadline, absolute on `time.monotonic`'s clock, is not taken either.
        """

    async def submit(self, job: Job, *, pixels: int) -> Result:
        """Do a job on an image of so many pixels. A cancelled call frees its place.

        Raises what `admit` does, `PoisonInput`, `DeadlineExceeded`, and what the job itself raises.
        """

    async def load(self, model: str) -> None:
        """Have every warm worker load the model of that id, beside its jobs; workers to come open with it.

        Returns at once where no worker is warm. Raises `BadModel` and what else a codec's `load` does; then
        everything is as it was.
        """

    def unload(self, model: str) -> None:
        """Let workers forget a model until a job asks for it again."""

    def state(self) -> PoolState:
        """What there is to say about it, at no cost."""


POOLS: Final[dict[str, str]] = {
    "local": "virtual_codec.serving._local:LocalPool",
    "inline": "virtual_codec.serving._inline:InlinePool",
}


def open_pool(
    name: str,
    arguments: Mapping[str, object],
    policy: PoolPolicy | None = None,
    *,
    codec: str = OPEN_CODEC,
) -> Pool:
    """The pool of that name in `POOLS`, not started.

    Its workers call `codec`, an import string, with `arguments` and a `device` for their `JobRunner`, and with the
    id of a `model` once `Pool.load` has succeeded.
    """
    pool: Pool = load(POOLS[name])(codec, arguments, policy or PoolPolicy())
    return pool


def load(reference: str) -> Any:
    """What an import string `package.module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
