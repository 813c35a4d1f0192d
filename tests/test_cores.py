"""What a process may use is what the machine, its mask and every cgroup around it leave."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from virtual_codec.cores import cgroup_cores, usable_cores

V1 = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n"

# What stands in /proc/self/cgroup, which files there are in /sys/fs/cgroup, and the cores these make.
CASES: dict[str, tuple[str, dict[str, str], float]] = {
    "no cgroups at all": ("", {}, math.inf),
    "version 2, a container": ("0::/\n", {"cpu.max": "150000 100000"}, 1.5),
    "version 2, no limit": ("0::/\n", {"cpu.max": "max 100000"}, math.inf),
    "version 2, a service": (
        "0::/system.slice/vcodec.service\n",
        {"system.slice/vcodec.service/cpu.max": "400000 100000", "system.slice/cpu.max": "max 100000"},
        4,
    ),
    "version 2, a slice around it says less": (
        "0::/system.slice/vcodec.service\n",
        {"system.slice/vcodec.service/cpu.max": "400000 100000", "system.slice/cpu.max": "300000 100000"},
        3,
    ),
    "version 2, another service is none of ours": (
        "0::/system.slice/vcodec.service\n",
        {"system.slice/other.service/cpu.max": "100000 100000"},
        math.inf,
    ),
    "version 1, a container": (
        V1,
        {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        0.5,
    ),
    "version 1, its link only": (V1, {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
    "version 1, the host's folders": (
        V1,
        {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "50000"},
        4,
    ),
    "version 1, no limit": (
        V1,
        {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        math.inf,
    ),
    "version 1, the quota of something else": (
        "12:memory:/\n3:cpuset:/\n",
        {"cpuset/cpu.cfs_quota_us": "50000", "cpuset/cpu.cfs_period_us": "100000"},
        math.inf,
    ),
    "nonsense": ("what\n0::\n::::\n", {"cpu.max": "many"}, math.inf),
}


def machine(root: Path, memberships: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(memberships)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


@pytest.mark.parametrize("case", CASES)
def test_the_smallest_quota_around_a_process_is_found(tmp_path: Path, case: str) -> None:
    memberships, files, cores = CASES[case]
    root = machine(tmp_path, memberships, files)
    assert cgroup_cores(root) == cores
    assert usable_cores(root) == math.ceil(min(cores, usable_cores(tmp_path / "nothing")))


def test_a_part_of_a_core_is_one(tmp_path: Path) -> None:
    assert usable_cores(machine(tmp_path, "0::/\n", {"cpu.max": "1000 100000"})) == 1


def test_this_machine_has_some() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to cores")
def test_a_process_that_is_pinned_to_a_core_uses_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from virtual_codec.cores import usable_cores; print(usable_cores())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
