"""A server in a process of its own: where it answers, and what it has logged."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2


@dataclass
class ServerProcess:
    """Process of a server. Tests that ask more of it derive from this."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address for callers; "" until it is logged."""
        return self.urls.get("serving", "")

    @property
    def admin_url(self) -> str:
        """Address for orders; "" until it is logged, or where there is none."""
        return self.urls.get("admin", "")

    @property
    def records(self) -> list[dict[str, Any]]:
        """Lines of a log that is JSON."""
        return [json.loads(line) for line in list(self.lines)]

    def is_ready(self) -> bool:
        """True if the server says so."""
        return httpx2.get(f"{self.url}/readyz", timeout=30).status_code == 200

    def read(self) -> None:
        """Take in stderr, until the process ends."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"\b(serving|admin) on (http://[^\s\"]+)", line):
                self.urls[found[1]] = found[2]


Kind = TypeVar("Kind", bound=ServerProcess)


@contextlib.contextmanager
def started(
    kind: type[Kind],
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stop: Callable[[subprocess.Popen[str]], None] = subprocess.Popen.terminate,
) -> Iterator[Kind]:
    """Server of a command. It may not be ready yet; at last it is stopped, or killed if it does not end in a minute."""
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        server = kind(process)
        reader = threading.Thread(target=server.read)
        reader.start()
        try:
            yield server
        finally:
            stop(process)
            try:
                process.wait(60)
            finally:
                process.kill()
                reader.join()


def wait_until_ready(server: ServerProcess) -> None:
    """Wait for the address and a warm worker."""
    wait_for(lambda: server.url)
    wait_for(server.is_ready)


def wait_for(condition: Callable[..., object], seconds: float = 240) -> None:
    """Wait until a condition holds; other processes set no event, and a busy machine takes its time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)
