"""Benchmark of two pools: worker processes compared with Ray replicas, and replicas that are killed under load.

    python -m benchmarks.pools --report docs/ray.md

It needs the extra `ray` and Linux. Both servers run at the same time and are loaded in turn, so that other load on the
machine affects both.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tests.pictures import saved, scene
from tests.pools.servers import Server
from tests.server_process import started, wait_for

SECTION_MARKS: Final = (
    "<!-- figures: `python -m benchmarks.pools --report docs/ray.md` writes them -->",
    "<!-- end of figures -->",
)
COMMON_SETTINGS: Final = {
    "VCODEC_DEVICES": "cpu",
    "VCODEC_WORKERS_PER_DEVICE": "2",
    "VCODEC_THREADS": "1",
    "VCODEC_STANDBY": "off",
    "VCODEC_PORT": "0",
    "VCODEC_LOG_FORMAT": "text",
    "VCODEC_QUEUE_LIMIT_S": "600",
}
RAY_SETTINGS: Final = {"VCODEC_POOL": "ray", "VCODEC_RAY_REPLICAS": "2", "VCODEC_WORKERS_PER_DEVICE": "1"}
START_S: Final = 240.0
CLIENTS: Final = 8
KILL_EVERY_S: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests of one kind."""

    name: str
    path: str
    content: bytes


def main() -> None:
    """Measure, print the figures, and write them into the page of --report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="duration of one round in seconds (default 8)")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of each server and load (default 6)")
    parser.add_argument("--kills", type=int, default=3, help="replicas to kill (default 3)")
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="only loads whose name contains this text (default: all)"
    )
    parser.add_argument("--report", type=Path, help="Markdown page whose figures are replaced")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        local = stack.enter_context(_serving({}))
        ray = stack.enter_context(_serving(RAY_SETTINGS))
        for server in (local, ray):
            wait_for(server.has_ready, START_S)
        lines = list(_compared(local, ray, arguments))
        lines += ["", _killed(ray, arguments.kills)]
    text = "\n".join([_conditions(arguments.rounds, arguments.seconds), "", *lines])
    print(text)
    if arguments.report is not None:
        page = arguments.report.read_text(encoding="utf-8")
        before, _, rest = page.partition(SECTION_MARKS[0])
        after = rest.partition(SECTION_MARKS[1])[2]
        arguments.report.write_text(
            f"{before}{SECTION_MARKS[0]}\n\n{text}\n\n{SECTION_MARKS[1]}{after}", encoding="utf-8"
        )


@contextlib.contextmanager
def _serving(more: dict[str, str]) -> Iterator[Server]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VCODEC_")}
    command = [sys.executable, "-m", "virtual_codec", "serve"]
    with started(Server, command, environment={**environment, **COMMON_SETTINGS, **more}) as server:
        wait_for(lambda: server.url, START_S)
        yield server


def _compared(local: Server, ray: Server, arguments: argparse.Namespace) -> Iterator[str]:
    yield "| load | 2 workers, answers/s | 2 replicas, answers/s | replicas to workers |"
    yield "| --- | --- | --- | --- |"
    for load in _loads(local):
        if arguments.only not in load.name:
            continue
        rates: dict[str, list[float]] = {"local": [], "ray": []}
        for number in range(arguments.rounds):
            pair = [("local", local), ("ray", ray)]
            for name, server in pair if number % 2 else reversed(pair):
                count, spent_s = _loaded(server, load, arguments.seconds)
                rates[name].append(count / spent_s)
        ratio = statistics.median(one / other for one, other in zip(rates["ray"], rates["local"], strict=True))
        both = [statistics.median(rates[name]) for name in ("local", "ray")]
        yield f"| {load.name} | {both[0]:.2f} | {both[1]:.2f} | {ratio:.2f} |"


def _loads(server: Server) -> Iterator[Load]:
    for side, compresses in ((128, False), (512, False), (512, True)):
        picture = saved(scene(side, side))
        if compresses:
            yield Load(name=f"/compress {side}x{side}", path="/compress", content=picture)
        else:
            stream = httpx2.post(f"{server.url}/compress", content=picture, timeout=120).content
            yield Load(name=f"/decompress {side}x{side}", path="/decompress", content=stream)


def _loaded(server: Server, load: Load, seconds: float) -> tuple[int, float]:
    """Number of answers of a closed loop, and its seconds."""
    started = time.monotonic()
    answers = _asked(server, load, lambda: time.monotonic() - started > seconds)
    assert {answer.status_code for answer in answers} == {200}
    return len(answers), time.monotonic() - started


def _asked(server: Server, load: Load, is_over: Callable[[], bool]) -> list[httpx2.Response]:
    def ask(_number: int) -> list[httpx2.Response]:
        answers = []
        with httpx2.Client(base_url=server.url, timeout=120) as client:
            while not is_over():
                answers.append(client.post(load.path, content=load.content))
        return answers

    with ThreadPoolExecutor(CLIENTS) as threads:
        return list(itertools.chain.from_iterable(threads.map(ask, range(CLIENTS))))


def _killed(server: Server, kills: int) -> str:
    """Line about replicas killed under load. Every answer must have the same bytes as without kills."""
    load = next(_loads(server))
    expected = httpx2.post(server.url + load.path, content=load.content, timeout=120).content
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(_asked, server, load, is_over.is_set)
        for _ in range(kills):
            wait_for(server.has_ready, START_S)
            time.sleep(2)
            replicas = [pid for pid, line in server.descendants().items() if line.startswith("ray::ServeReplica")]
            os.kill(replicas[0], signal.SIGKILL)
            time.sleep(KILL_EVERY_S)
        wait_for(server.has_ready, START_S)
        is_over.set()
        answers = running.result()
    lost = sum(answer.status_code != 200 or answer.content != expected for answer in answers)
    slowest_s = max(answer.elapsed.total_seconds() for answer in answers)
    metrics = httpx2.get(f"{server.url}/metrics", timeout=60).text
    (retries,) = re.findall(r"^vcodec_retries_total ([0-9.]+)", metrics, re.MULTILINE)
    return (
        f"Replicas killed by SIGKILL under {load.name} of {CLIENTS} clients: {kills}. Requests: {len(answers)}, lost "
        f"(not 200, or other bytes): {lost}, done again by another replica: {float(retries):.0f}; the slowest answer "
        f"took {slowest_s:.1f} s."
    )


def _conditions(rounds: int, seconds: float) -> str:
    return (
        f"On {os.cpu_count()} cores that did other work besides, the default model, {CLIENTS} clients, {rounds} "
        f"rounds of {seconds:g} s for each, in turn; medians over the rounds, and the median of each round's ratio. "
        "A worker or replica does one job at a time."
    )


if __name__ == "__main__":
    main()
