"""Messages between a worker and its parent, besides jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from virtual_codec.core_shares import CorePlace
from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import VirtualCodecError
from virtual_codec.serving import Result


@dataclass(frozen=True, kw_only=True)
class Opening:
    """First message to a worker: its factory (an import string), the arguments, and its number of job threads.

    `cores` is the worker's entry in the table of shared cores, None if it shares no cores.
    `device_process` is the socket of the device process. A worker connects to it; the device process itself, which has
    no job threads, listens on it.
    """

    worker_factory: str
    arguments: Mapping[str, object]
    device: str
    threads: int
    cores: CorePlace | None = None
    device_process: Path | None = None


@dataclass(frozen=True, kw_only=True)
class WarmModel:
    """Order to a worker: load a model and keep it warm. The answer is `ModelWarmed` with the same number."""

    number: int
    model: str


@dataclass(frozen=True, kw_only=True)
class ForgetModel:
    """Order to a worker: free the memory of a model."""

    model: str


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Order to a worker: cancel the job of that number, because its caller has left."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Message of a worker that is warm and accepts jobs."""

    notes: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CannotOpen:
    """Message of a worker that could not open its job handler and ends."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """Result of a job, its seconds in the worker, and the counters of the worker's runner."""

    number: int
    result: Result = field(repr=False)
    seconds: float
    counts: RunnerCounts


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Error that a job raised."""

    number: int
    error: VirtualCodecError


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Traceback of an unexpected exception in a job."""

    number: int
    report: str


@dataclass(frozen=True, kw_only=True)
class NoMemory:
    """Job that ran out of memory. Its memory is free again, and the worker goes on."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """End of a job that was cancelled by `Cancel`."""

    number: int


@dataclass(frozen=True, kw_only=True)
class ModelWarmed:
    """Answer to the `WarmModel` of that number: None, or the error."""

    number: int
    error: VirtualCodecError | None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Counters of a device process, which has no job results to send them with."""

    counts: RunnerCounts


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Log line of a worker."""

    logger: str
    level: int
    facts: Mapping[str, str | int | float | bool | None]


Answer = Done | Failed | Broken | NoMemory | Cancelled
Message = Ready | CannotOpen | Answer | ModelWarmed | Counted | Logged
Order = WarmModel | ForgetModel | Cancel
