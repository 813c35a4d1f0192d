"""Number of cores that this process may use, which a container's quota or an affinity mask may limit."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CGROUPS: Final = "sys/fs/cgroup"


def usable_cores(root: Path = Path("/")) -> int:
    """Number of cores, at least 1: the cores of the affinity mask, limited by the quotas of the cgroups.

    A quota of one and a half cores counts as two, because occasional throttling costs less than half a core. `root` is
    the folder of /proc and /sys.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, cgroup_cores(root))))


def cgroup_cores(root: Path = Path("/")) -> float:
    """Smallest CPU quota, in cores, of this process's cgroup and its parents; infinite without a limit."""
    return min((cores for folder in _folders(root) for cores in _limits(folder)), default=math.inf)


def _folders(root: Path) -> Iterator[Path]:
    """Folders that may hold a limit for this process, in either version of cgroups."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mounted in (controllers, "cpu") if controllers else ("",):
            top = root / _CGROUPS / mounted
            # A container may see its own folder as the top, while its path is the one on the host.
            here = top / path.lstrip("/")
            yield from (folder for folder in (here, *here.parents) if folder.is_relative_to(top))


def _limits(folder: Path) -> Iterator[float]:
    """Quotas of a folder in cores. Version 2 has quota and period in one file, version 1 in two, in microseconds."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = (int(number) for name in names for number in (folder / name).read_text().split())
        except (OSError, ValueError):  # missing, or "max"
            continue
        if quota > 0 and period > 0:  # version 1 says -1 for no limit
            yield quota / period
