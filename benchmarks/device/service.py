"""Service on a device through HTTP: closed loops, a worker killed under load, and figures of /metrics."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from virtual_codec.load_test import HttpSender, LoadProfile, Report, Request, run_load_test, synthetic_png


@dataclass(frozen=True, kw_only=True)
class Load:
    """Load and its figures."""

    name: str
    clients: int
    report: Report


@dataclass(frozen=True, kw_only=True)
class Question:
    """Request and the media type of its answers."""

    request: Request
    accept: str

    def sender(self, url: str) -> HttpSender:
        """Sender with the media type in its Accept header."""
        return HttpSender(url, headers={"Accept": self.accept})


def questions_of(url: str, side: int, formats: Sequence[str]) -> list[Question]:
    """Requests that compress a picture, and that restore its stream to each of the formats."""
    size = f"{side}x{side}"
    picture = Request(path="/compress", content=synthetic_png(side, side), label=size, pixels=side * side)
    question = Question(request=picture, accept="image/jpeg")
    with contextlib.closing(question.sender(url)) as sender:
        answer = sender.send(picture)
    if answer.status != "200":
        raise SystemExit(f"/compress of {size} answers {answer.status}: {answer.content[:300]!r}")
    restores = [
        Question(
            request=replace(picture, path="/decompress", content=answer.content, label=f"{size} to {kind}"),
            accept=f"image/{kind}",
        )
        for kind in formats
    ]
    return [question, *restores]


def loads(url: str, questions: Sequence[Question], clients: Sequence[int], seconds: float) -> list[Load]:
    """Closed loops of each request with each number of clients."""
    found = []
    for question in questions:
        for count in clients:
            profile = LoadProfile(requests=[question.request], clients=count, seconds=seconds)
            with contextlib.closing(question.sender(url)) as sender:
                report = run_load_test(profile, sender)
            found.append(Load(name=f"{question.request.path} {question.request.label}", clients=count, report=report))
    return found


def load_with_a_kill(url: str, question: Question, server: int, clients: int, seconds: float) -> Load:
    """Closed loop in which the server's largest process, a worker, is killed after half of the time."""
    timer = threading.Timer(seconds / 2, _kill_largest_child, args=(server,))
    timer.start()
    try:
        [load] = loads(url, [question], [clients], seconds)
    finally:
        timer.cancel()
    return replace(load, name=f"{load.name}, a worker killed")


def metrics_of(url: str) -> dict[str, float]:
    """Samples of GET /metrics, summed over their labels."""
    address = urllib.parse.urlsplit(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


def _kill_largest_child(server: int) -> None:
    children = _descendants(server)
    if children:
        os.kill(max(children, key=_resident_pages), signal.SIGKILL)


def _descendants(parent: int) -> list[int]:
    """Ids of a process's descendants, from /proc."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, waiting = [], [parent]
    while waiting:
        above = waiting.pop()
        below = [child for child, its_parent in parents.items() if its_parent == above]
        found += below
        waiting += below
    return found


def _resident_pages(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0


def wait_until_ready(url: str, limit_s: float = 120) -> float:
    """Seconds until GET /readyz answers 200 again."""
    address = urllib.parse.urlsplit(url)
    assert address.hostname is not None
    started = time.monotonic()
    while time.monotonic() - started < limit_s:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                break
        time.sleep(0.1)
    return time.monotonic() - started
