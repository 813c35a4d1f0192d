"""Worker slots that can take jobs now, and slots that waiting jobs need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from virtual_codec.serving._slot import WorkerSlot


def usable_slots(slots: Sequence[WorkerSlot], most_ready: Callable[[str], int]) -> list[WorkerSlot]:
    """Warm workers whose device is ready, at most `most_ready(device)` for each device.

    A spare is last on its device, so it is used only while another worker is not ready.
    """
    lacking = _slots_without_model(slots)
    usable: list[WorkerSlot] = []
    taken: Counter[str] = Counter()
    for slot in slots:
        is_usable = slot.takes_jobs and slot.is_ready and slot.device not in lacking
        if is_usable and taken[slot.device] < most_ready(slot.device):
            taken[slot.device] += 1
            usable.append(slot)
    return usable


def awaited_slots(slots: Sequence[WorkerSlot]) -> list[WorkerSlot]:
    """Slots of which one must become ready before a job can run, if no slot is usable.

    A device process that is not ready stands for all workers of its device.
    """
    lacking = _slots_without_model(slots)
    workers = [slot for slot in slots if slot.takes_jobs and not slot.is_spare and slot.device not in lacking]
    return workers + list(lacking.values())


def _slots_without_model(slots: Sequence[WorkerSlot]) -> dict[str, WorkerSlot]:
    """Device processes that are not ready, by device."""
    return {slot.device: slot for slot in slots if not (slot.takes_jobs or slot.is_ready)}
