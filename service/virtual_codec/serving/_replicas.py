"""Replicas of a codec on other machines, as a pool sees them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, final

from virtual_codec.jobs import CompressOptions, Job, OrdinaryOptions, RestoreOptions
from virtual_codec.serving import PoolState

Frame = tuple[bytes, bytes]
"""Head and body of an answer, see `virtual_codec.serving._frames`."""


@dataclass(frozen=True, kw_only=True)
class DirectAddress:
    """Address of a replica for direct connections, and the token that it requires."""

    host: str
    port: int
    token: bytes = field(repr=False)


@final
class ReplicaLost(Exception):
    """The replica of a call ended, or is about to end, before it answered."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Job on its way to a replica. `seconds_left` replaces the deadline, because each machine has its own clock."""

    data: bytes = field(repr=False)
    options: CompressOptions | RestoreOptions | OrdinaryOptions
    pixels: int
    request_id: str
    trace_id: str
    seconds_left: float | None

    @classmethod
    def of(cls, job: Job, pixels: int) -> Self:
        """Call for a job on an image of `pixels` pixels."""
        return cls(
            data=job.data,
            options=job.options,
            pixels=pixels,
            request_id=job.request_id,
            trace_id=job.trace_id,
            seconds_left=None if job.deadline is None else job.deadline - time.monotonic(),
        )

    def job(self) -> Job:
        """Job, with a deadline on the clock of this machine."""
        return Job(
            data=self.data,
            options=self.options,
            request_id=self.request_id,
            trace_id=self.trace_id,
            deadline=None if self.seconds_left is None else time.monotonic() + self.seconds_left,
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of one replica's pool, the id of the model that it has warm, and its address for direct connections."""

    replica: str
    state: PoolState
    model: str | None
    direct: DirectAddress | None = None


class Replicas(Protocol):
    """Replicas of one codec, all alike."""

    async def open(self) -> None:
        """Start the replicas. Raises an error if they cannot be started."""

    async def close(self) -> None:
        """End what `open` started."""

    async def run(self, call: Call) -> Frame:
        """Run a job on one replica; cancelling the call cancels the job.

        Raises `ReplicaLost`, or a `VirtualCodecError` if no replica accepts the job.
        """

    async def call_all(self, method: str, *arguments: object) -> list[Any]:
        """Call a method on every replica. Answers of replicas that end meanwhile are left out."""
