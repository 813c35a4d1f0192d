"""Servers in processes of their own, one for each pool, with everything else alike."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2

from tests.pools.commanded import OPEN
from tests.server_process import ServerProcess, started

SCRIPT = """
import pathlib, sys
from virtual_codec.api.server import run
from virtual_codec.serving import PoolPolicy, ReplicaPolicy, open_pool
from virtual_codec.settings import Settings
from virtual_codec.store import ModelStore
name, store = sys.argv[1], pathlib.Path(sys.argv[2])
workers = 1 if name == "ray" else 2
policy = PoolPolicy(devices="cpu", workers_per_device=workers, threads=1, standby="off", queue_limit_s=2,
                    hang_grace_s=0.5, stop_grace_s=5, replicas=ReplicaPolicy(least=2, cpus=1))
pool = open_pool(name, {"store": store, "model": ModelStore(store).default.id}, policy, worker_factory=sys.argv[3])
run(Settings.load(model_store=store, port=0, admin_port=0, drain_delay_s=0, log_format="text", max_pixels=2_000_000,
                  max_body_bytes=1_000_000), pool)
"""


class Server(ServerProcess):
    """A server whose workers and processes are looked at."""

    def has_ready(self, workers: int = 2) -> bool:
        """True if so many workers are ready."""
        with contextlib.suppress(httpx2.HTTPError, ValueError, KeyError):
            answer = httpx2.get(f"{self.url}/readyz", timeout=30)
            return answer.status_code == 200 and sum(it["ready"] for it in answer.json()["workers"]) >= workers
        return False

    def descendants(self) -> dict[int, str]:
        """Command lines of all processes below this server's, by process id."""
        parents: dict[int, int] = {}
        lines: dict[int, str] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(folder.name)
                parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                lines[pid] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")

        def is_below(pid: int) -> bool:
            return parents.get(pid) == self.process.pid or (pid in parents and is_below(parents[pid]))

        return {pid: line for pid, line in lines.items() if is_below(pid)}


@contextlib.contextmanager
def serving(pool: str, store: Path, changes: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server with that pool, two workers of one thread each; `changes` are made in `SCRIPT`. It may not be ready."""
    script = SCRIPT
    for before, after in (changes or {}).items():
        assert before in script
        script = script.replace(before, after)
    command = [sys.executable, "-c", script, pool, str(store), OPEN]
    with started(Server, command) as server:
        yield server
