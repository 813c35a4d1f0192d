"""Benchmark of serving around the device.

    python -m benchmarks.synthetic_device --seconds 10

With an infinitely fast device /decompress costs only what surrounds it: processor time of a request through HTTP, and
goodput at 16 and 64 clients, are compared with those of the codec alone on all cores at once. With a device
that takes 2 ms a batch, the mean batch says whether waiting tiles are taken together. Both in each structure: `one`
worker with all threads, `whole` workers that each open the device, and workers that `share` a process with the device.
Structures take turns within a measurement. Prints one JSON line for each; leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from benchmarks.engine import children, load
from benchmarks.synthetic_device.alone import codec_alone, streams_of
from virtual_codec.cores import usable_cores
from virtual_codec.load_test import temporary_server

STRUCTURES: Final = ("one", "whole", "share")
_SUM: Final = re.compile(r"^vcodec_batch_items_sum\S* (\S+)", re.MULTILINE)
_COUNT: Final = re.compile(r"^vcodec_batch_items_count\S* (\S+)", re.MULTILINE)


def main() -> int:
    """Measure, and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="duration of each measurement in seconds (default 10)"
    )
    parser.add_argument("--side", type=int, default=512, help="side of the pictures in pixels (default 512)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument(
        "--batch-ms",
        type=float,
        nargs="+",
        default=[0.0, 2.0],
        help="milliseconds of a batch on each device (default 0 2)",
    )
    parser.add_argument("--structures", nargs="+", choices=STRUCTURES, default=list(STRUCTURES))
    parser.add_argument("--threads", type=int, help="job threads of each worker (default: the service's)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each structure (default 3)")
    given = parser.parse_args()
    streams = streams_of(given.side)
    alone = codec_alone(given.side, given.seconds)
    print(json.dumps({"codec_alone": alone}), flush=True)
    for batch_ms in given.batch_ms:
        for figures in through_http(streams, batch_ms, given):
            figures["of_codec_alone"] = figures["images_per_s"] / alone["images_per_s"]
            figures["cpu_of_codec_alone"] = figures["cpu_ms"] / alone["cpu_ms"]
            rounded = {name: it if isinstance(it, str) else round(it, 3) for name, it in figures.items()}
            print(json.dumps(rounded), flush=True)
    return 0


def through_http(streams: list[bytes], batch_ms: float, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Medians of images per second, processor milliseconds per image and batch size, by clients and structure."""
    with contextlib.ExitStack() as stack:
        servers = {it: stack.enter_context(_serving(it, batch_ms, given.threads)) for it in given.structures}
        for url, _ in servers.values():
            load(url, streams, min(2.0, given.seconds), clients=4)
        for clients in given.clients:
            rounds = [
                {name: _measured(*server, streams, given.seconds, clients) for name, server in servers.items()}
                for _ in range(given.rounds)
            ]
            for name in servers:
                found = {key: statistics.median(it[name][key] for it in rounds) for key in rounds[0][name]}
                yield {"batch_ms": batch_ms, "structure": name, "clients": clients, **found}


def _serving(structure: str, batch_ms: float, threads: int | None) -> AbstractContextManager[tuple[str, int]]:
    command = [sys.executable, "-m", "benchmarks.synthetic_device.server", "--batch-ms", str(batch_ms)]
    if structure == "whole":
        command.append("--whole-workers")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["VCODEC_WORKERS_PER_DEVICE"] = "1" if structure == "one" else str(max(2, usable_cores()))
    if threads is not None:
        environment["VCODEC_THREADS"] = str(threads)
    return temporary_server([*command, "--port"], environment=environment)


def _measured(url: str, pid: int, streams: list[bytes], seconds: float, clients: int) -> dict[str, float]:
    time.sleep(1.0)  # a device process reports its counters twice a second
    cpu_s, (tiles, batches) = _cpu_s(pid), _batches(url)
    report = load(url, streams, seconds, clients=clients)
    cpu_s = _cpu_s(pid) - cpu_s
    time.sleep(1.0)
    more_tiles, more_batches = _batches(url)
    answered = max(1, report.statuses.get("200", 0))
    return {
        "images_per_s": report.images_per_s,
        "p50_ms": report.latency_ms(50),
        "cpu_ms": 1000 * cpu_s / answered,
        "mean_batch": (more_tiles - tiles) / max(1.0, more_batches - batches),
        "not_answered": sum(report.statuses.values()) - answered,
    }


def _batches(url: str) -> tuple[float, float]:
    """Total numbers of tiles and batches of all workers."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310  # a server of this benchmark
        text = answer.read().decode()
    return sum(map(float, _SUM.findall(text))), sum(map(float, _COUNT.findall(text)))


def _cpu_s(pid: int) -> float:
    """Processor seconds of a server and its workers."""
    ticks = os.sysconf("SC_CLK_TCK")
    stats = [Path(f"/proc/{it}/stat").read_text().rpartition(")")[2].split() for it in (pid, *children(pid))]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / ticks


if __name__ == "__main__":
    raise SystemExit(main())
