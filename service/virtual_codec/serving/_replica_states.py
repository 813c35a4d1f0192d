"""Merged state of all replicas, as the state of one pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.serving import PoolState, WorkerState
from virtual_codec.serving._replicas import Snapshot

_MAX_KNOWN_REPLICAS: Final = 64


@final
class ReplicaStates:
    """Latest snapshot of each replica. The sums include the counters of ended replicas, so they never decrease."""

    def __init__(self) -> None:
        self._known: dict[str, Snapshot] = {}
        self._up: set[str] = set()
        self._folded = PoolState()  # counters of replicas that ended long ago
        self._losses = 0
        self._crashes = 0

    @property
    def up(self) -> list[Snapshot]:
        """Snapshots of the replicas that answered the latest request."""
        return [self._known[name] for name in sorted(self._up)]

    @property
    def threads(self) -> int:
        """Number of jobs that the ready workers can run at the same time."""
        return sum(worker.threads for snapshot in self.up for worker in _workers(snapshot) if worker.is_ready)

    def note_loss(self) -> None:
        """Note that a call was lost with its replica."""
        self._losses += 1

    def update(self, snapshots: Sequence[Snapshot]) -> None:
        """Take the latest snapshots of all replicas."""
        found = {snapshot.replica for snapshot in snapshots}
        if gone := self._up - found:
            self._crashes += len(gone) if self._losses else 0
            self._losses = 0
        self._up = found
        self._known |= {snapshot.replica: snapshot for snapshot in snapshots}
        for name in list(self._known)[:-_MAX_KNOWN_REPLICAS]:
            if name not in found:
                self._folded = _counters([self._folded, _without_levels(self._known.pop(name).state)])

    def merged(self) -> PoolState:
        """State of the pool: workers, notes and reasons of the running replicas, counters of all replicas."""
        up = self.up
        ended = [_without_levels(known.state) for name, known in self._known.items() if name not in self._up]
        counted = _counters([self._folded, *ended, *(snapshot.state for snapshot in up)])
        return replace(
            counted,
            workers=tuple(worker for snapshot in up for worker in _workers(snapshot)),
            notes=_notes(up),
            reasons=tuple(
                f"{text} of replica {snapshot.replica}" for snapshot in up for text in snapshot.state.reasons
            ),
            restarts={**counted.restarts, "crash": counted.restarts.get("crash", 0) + self._crashes},
        )


def _workers(snapshot: Snapshot) -> list[WorkerState]:
    """Workers of a replica, with unique names. None is ready if the replica is not."""
    is_ready = snapshot.state.is_ready
    return [
        replace(worker, name=f"{snapshot.replica}/{worker.name}", is_ready=worker.is_ready and is_ready)
        for worker in snapshot.state.workers
        if worker.threads or is_ready
    ]


def _notes(snapshots: Sequence[Snapshot]) -> dict[str, str]:
    texts: dict[str, set[str]] = {}
    for snapshot in snapshots:
        for name, text in snapshot.state.notes.items():
            texts.setdefault(name, set()).add(text)
    return {name: ", ".join(sorted(found)) for name, found in sorted(texts.items())}


def _counters(states: Iterable[PoolState]) -> PoolState:
    restarts: Counter[str] = Counter(crash=0, hang=0, start=0)
    counts: dict[str, RunnerCounts] = {}
    retries = quarantined = 0
    for state in states:
        restarts.update(state.restarts)
        retries += state.retries
        quarantined += state.quarantined
        for device, of_device in state.counts.items():
            counts[device] = counts.get(device, RunnerCounts()) + of_device
    return PoolState(restarts=dict(restarts), retries=retries, quarantined=quarantined, counts=counts)


def _without_levels(state: PoolState) -> PoolState:
    """State of an ended replica: its counters, without its momentary values."""
    counts: Mapping[str, RunnerCounts] = {
        device: replace(it, waiting_items=0, waiting_pixels=0, budget_pixels=0) for device, it in state.counts.items()
    }
    return replace(state, counts=counts)
