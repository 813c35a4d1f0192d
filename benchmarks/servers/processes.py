"""Ids and processor times of a server's processes, from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(root: int) -> list[int]:
    """Ids of `root` and its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Total processor seconds of the processes that are alive."""
    return sum((int(fields[11]) + int(fields[12])) * _TICK_S for pid in pids if (fields := _stat(pid)))


def busiest(pids: Iterable[int]) -> int | None:
    """Id of the living process with the most processor time."""
    alive = [pid for pid in pids if _stat(pid)]
    return max(alive, key=lambda pid: cpu_s([pid]), default=None)


def identities(pids: Iterable[int]) -> dict[int, str]:
    """Start time of each process, which distinguishes it from a later process with the same id."""
    return {pid: fields[19] for pid in pids if (fields := _stat(pid))}


def kill_left(known: dict[int, str]) -> int:
    """Kill the processes that are still alive, and return their number."""
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
    """Fields of /proc/PID/stat from the state on; empty for an ended process or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] == "Z" else fields
