"""Server under test: its state from the operating system and from its metrics."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_IDLE_TIMEOUT_S: Final = 900.0
_DEATHS: Final = re.compile(r'^vcodec_worker_restarts_total\{reason="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE)
_READY: Final = re.compile(r"event=worker_ready .*\bpid=(\d+)")
_UP: Final = re.compile(r"^vcodec_worker_up\{.*\} 1\.0$", re.MULTILINE)
_BUSY: Final = re.compile(
    r"^vcodec_(?:http_requests_in_progress\{.*\}|running_items|queue_items) ([0-9.e+]+)$", re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class ServerUnderTest:
    """Running server: its URL, process id, log file, and expected number of warm workers."""

    url: str
    pid: int
    log: Path
    workers_wanted: int

    def workers(self) -> list[int]:
        """Process ids of the workers, in ascending order."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                status = (folder / "stat").read_text()
                state, parent = status.rpartition(")")[2].split()[:2]
                command = (folder / "cmdline").read_bytes()
                if int(parent) == self.pid and state != "Z" and b"virtual_codec.serving" in command:
                    found.append(int(folder.name))
        return sorted(found)

    def warm_workers(self) -> list[int]:
        """Process ids of the workers that take jobs."""
        warm = {int(pid) for pid in _READY.findall(self.log.read_text(errors="replace"))}
        return [pid for pid in self.workers() if pid in warm]

    def resident_bytes(self) -> dict[str, int]:
        """Resident memory of server and workers in bytes, shared pages included."""
        return {
            "server": _resident(self.pid),
            "workers": sum(_resident(pid) for pid in self.workers()),
        }

    def descriptors(self) -> dict[str, int]:
        """Numbers of open files and sockets of server and workers."""
        return {"server": _descriptors(self.pid), "workers": sum(_descriptors(pid) for pid in self.workers())}

    def deaths(self) -> int:
        """Number of workers that have ended since the server started, from its metrics."""
        counts = _DEATHS.findall(self.get("/metrics"))
        assert counts, "no metric tells of workers that ended"
        return int(sum(float(count) for _, count in counts))

    def wait_until_idle(self) -> float:
        """Wait until every worker is warm and none is busy; returns the seconds. Raises `TimeoutError`."""
        start = time.monotonic()
        while time.monotonic() < start + _IDLE_TIMEOUT_S:
            text = self.get("/metrics")
            busy = _BUSY.findall(text)
            assert busy, "no metric tells of what is being done"
            if len(_UP.findall(text)) >= self.workers_wanted and not any(map(float, busy)):
                return time.monotonic() - start
            time.sleep(0.1)
        raise TimeoutError(f"the server is not idle after {_IDLE_TIMEOUT_S:g} seconds")

    def get(self, path: str) -> str:
        """Body of the answer to a GET."""
        return self._get(path)[1]

    def date(self) -> str:
        """Date header of the server's answer."""
        return self._get("/healthz")[0]

    def _get(self, path: str) -> tuple[str, str]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.getheader("Date", ""), answer.read().decode()
        finally:
            connection.close()


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """Mount a full file system of one megabyte at `folder`. Raises `OSError` without the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.system(f"mount -t tmpfs -o size=1m tmpfs '{folder}' 2>/dev/null") != 0:
        raise PermissionError(f"cannot mount a small file system at {folder}")
    try:
        with contextlib.suppress(OSError), (folder / "full").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield folder
    finally:
        os.system(f"umount -l '{folder}'")


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0
