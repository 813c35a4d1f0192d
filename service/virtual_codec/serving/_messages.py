"""What a worker and its parent say to each other, besides jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import VirtualCodecError
from virtual_codec.serving import Result


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The first message to a worker: what to open, how many jobs to do at a time."""

    codec: str
    arguments: Mapping[str, object]
    device: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class Load:
    """To a worker: have the codec load a model and make it the default, beside the jobs."""

    model: str


@dataclass(frozen=True, kw_only=True)
class Unload:
    """To a worker: have the codec forget a model."""

    model: str


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """To a worker: nobody waits for the job of that number any more."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """It is warm and takes jobs."""

    notes: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CannotOpen:
    """It could not open the codec, and ends."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """A job's result, the seconds it took in the worker, and what the worker's runner has counted by now."""

    number: int
    result: Result = field(repr=False)
    seconds: float
    counts: RunnerCounts


@dataclass(frozen=True, kw_only=True)
class Failed:
    """What a job raised."""

    number: int
    error: VirtualCodecError


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A job raised what it never should."""

    number: int
    report: str


@dataclass(frozen=True, kw_only=True)
class NoMemory:
    """Memory ran out over a job. What it had is free again, and the worker is none the worse."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Left:
    """The job was given up, as `Cancel` asked."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The answer to `Load`: nothing, or what was wrong."""

    model: str
    error: VirtualCodecError | None


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A line for the log."""

    logger: str
    level: int
    facts: Mapping[str, object]


Message = Ready | CannotOpen | Done | Failed | Broken | NoMemory | Left | Loaded | Logged
Order = Load | Unload | Cancel
