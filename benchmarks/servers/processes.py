"""Processes of a server, read from /proc: their ids and processor times."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(root: int) -> list[int]:
    """`root` and everything it started, directly or not."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Processor time that those alive have taken so far."""
    return sum((int(fields[11]) + int(fields[12])) * _TICK_S for pid in pids if (fields := _stat(pid)))


def busiest(pids: Iterable[int]) -> int | None:
    """The one alive that has taken the most processor time."""
    alive = [pid for pid in pids if _stat(pid)]
    return max(alive, key=lambda pid: cpu_s([pid]), default=None)


def identities(pids: Iterable[int]) -> dict[int, str]:
    """When each was started, which tells it from a later process of the same number."""
    return {pid: fields[19] for pid in pids if (fields := _stat(pid))}


def kill_left(known: dict[int, str]) -> int:
    """End those that are still there; how many there were."""
    left = [pid for pid, started in identities(known).items() if started == known[pid]]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields after the name, from the state on; none for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] == "Z" else fields
