"""A whole service in a process of its own, with a small untrained model, and what it says of its workers."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import httpx2

from tests.models import make_store


@final
@dataclass(frozen=True, kw_only=True)
class Served:
    """Where it answers, and its processes."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def deaths(self) -> int:
        """How many workers have ended, whatever the reason."""
        text = httpx2.get(f"{self.url}/metrics", timeout=30).text
        counts = re.findall(r"^vcodec_worker_restarts_total\{.*\} (\S+)$", text, re.M)
        assert counts, "no metric tells of workers that ended"
        return sum(int(float(count)) for count in counts)

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children]

    def is_well(self) -> bool:
        """Whether it still answers, with all of its workers."""
        return self.process.poll() is None and httpx2.get(f"{self.url}/readyz", timeout=30).status_code == 200


@contextlib.contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Served]:
    """Start it, wait until its worker is warm, and end it. Its log goes into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "store").exists():
        make_store(folder / "store")
    chosen = {"model_store": folder / "store", "port": 0, "devices": "cpu", "standby": "off", "threads": 2, **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VCODEC_")}
    environment |= {f"VCODEC_{name.upper()}": str(value) for name, value in chosen.items()}
    log = folder / "server.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "virtual_codec", "serve"], stderr=stderr, env=environment)
    try:
        url = _wait(lambda: _address_in(log, process))
        served = Served(url=url, process=process, log=log)
        _wait(lambda: httpx2.get(f"{url}/readyz", timeout=30).status_code == 200)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    assert process.poll() is None, log.read_text()
    found = re.search(r"serving on (http://[0-9.:]+)", log.read_text(errors="replace"))
    return found[1] if found else ""


def _wait(condition: object, *, seconds: float = 300) -> str:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < until, "the service did not start"
        time.sleep(0.05)
    return str(result)
