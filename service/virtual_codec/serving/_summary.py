"""Sums over the workers of a pool, for its state."""

from __future__ import annotations

from collections.abc import Sequence

from virtual_codec.counts import RunnerCounts
from virtual_codec.serving._slot import WorkerSlot


def merged_notes(slots: Sequence[WorkerSlot]) -> dict[str, str]:
    """Notes of all workers by name, different texts joined by commas."""
    notes = [slot.notes for slot in slots]
    names = {name for of_slot in notes for name in of_slot}
    return {name: ", ".join(sorted({of_slot[name] for of_slot in notes if name in of_slot})) for name in sorted(names)}


def counts_by_device(slots: Sequence[WorkerSlot]) -> dict[str, RunnerCounts]:
    """Counters of the runners, added up by device."""
    found: dict[str, RunnerCounts] = {}
    for slot in slots:
        found[slot.device] = found.get(slot.device, RunnerCounts()) + slot.counts
    return found
