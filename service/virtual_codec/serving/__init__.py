"""Pools of workers: admission, queueing and execution of jobs.

    submit ──► admission ──► queue ──► worker process (whole jobs, bytes in, bytes out) ──► result

To add a pool, write a module with a class that implements `Pool`, and add a row to `POOLS`. Nothing here loads torch:
the job handler is named by an import string that only a worker resolves.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

from virtual_codec.jobs import CompressResult, Job, RestoreResult
from virtual_codec.serving._devices import find_devices
from virtual_codec.serving._policy import PoolPolicy, ReplicaPolicy
from virtual_codec.serving._pool_state import PoolState, WorkerState

__all__ = [
    "DEVICE_PROCESS",
    "OPEN_CODEC",
    "POOLS",
    "JobHandler",
    "Pool",
    "PoolPolicy",
    "PoolState",
    "ReplicaPolicy",
    "Result",
    "WorkerState",
    "find_devices",
    "import_from_string",
    "open_pool",
]

Result = CompressResult | RestoreResult

DEVICE_PROCESS: Final = "virtual_codec.runner.device_process:open_device_process"
"""Factory of the process that has a device, for `PoolPolicy.device_factory`."""

OPEN_CODEC: Final = "virtual_codec.codec:open_codec"
"""Factory of the job handler in a worker, by default."""


class JobHandler(Protocol):
    """Handler of whole jobs inside a worker; `virtual_codec.codec.VirtualCodec` is one.

    It may have an attribute `notes`, a mapping from features that this platform lacks to their replacements, and an
    attribute `counts`, the `RunnerCounts` of its networks.
    """

    def run(self, job: Job) -> Result:
        """Run a whole job. Called from several threads. Raises `VirtualCodecError`."""

    def warm_model(self, model: str) -> None:
        """Reread the store, load the model of that id and check that it works, while jobs go on.

        If it raises `VirtualCodecError`, nothing has changed.
        """

    def forget_model(self, model: str) -> None:
        """Free the memory of the model of that id. A later job that names it loads it again."""


class Pool(Protocol):
    """Executor of jobs. All methods are called on one event loop."""

    async def start(self) -> None:
        """Open the workers; returns without waiting until they are warm."""

    async def stop(self) -> None:
        """Accept no new jobs, let running jobs finish within the policy's grace period, then end the workers."""

    def admit(self, deadline: float | None = None) -> None:
        """Raise `Draining`, `NoWorker` or `Overloaded` if a job would be refused now.

        A job that would wait until its deadline (absolute, on `time.monotonic`'s clock) is refused too.
        """

    async def submit(self, job: Job, *, pixels: int) -> Result:
        """Run a job on an image of `pixels` pixels. Cancelling the call frees its worker.

        Raises the errors of `admit`, `PoisonInput`, `DeadlineExceeded`, and the errors of the job.
        """

    async def warm_model(self, model: str) -> None:
        """Load the model of that id in every warm worker while jobs go on; later workers open with it.

        Returns at once if no worker is warm. Raises `BadModel` and the other errors of `JobHandler.warm_model`, and
        then nothing has changed.
        """

    def forget_model(self, model: str) -> None:
        """Let workers free a model's memory. A later job that names it loads it again."""

    def state(self) -> PoolState:
        """Snapshot of the pool. Cheap."""


POOLS: Final[dict[str, str]] = {
    "local": "virtual_codec.serving._local:LocalPool",
    "inline": "virtual_codec.serving._inline:InlinePool",
    "ray": "virtual_codec.serving._ray_pool:RayPool",
}


def open_pool(
    name: str,
    arguments: Mapping[str, object],
    policy: PoolPolicy | None = None,
    *,
    worker_factory: str = OPEN_CODEC,
) -> Pool:
    """Open the pool of that name in `POOLS`, without starting it.

    Each worker calls `worker_factory`, an import string `package.module:name`, with `arguments` and a `device`. The
    result is its `JobHandler`. After `Pool.warm_model`, new workers also get the id of that model as `model`.
    """
    pool: Pool = import_from_string(POOLS[name])(worker_factory, arguments, policy or PoolPolicy())
    return pool


def import_from_string(reference: str) -> Any:
    """Import the object that `package.module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
