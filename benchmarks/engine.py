"""Benchmark of the worker pool and its runner against their targets, on this machine.

    python -m benchmarks.engine

The parts are throughput and latency, in-process and through HTTP in turns, an overload of four times the capacity,
killed workers, and memory. A run takes five minutes on an otherwise idle machine. It writes docs/results/engine.json
and the table in docs/engine.md.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.jobs import RestoreOptions
from virtual_codec.load_test import (
    HttpSender,
    LoadProfile,
    Report,
    Request,
    run_load_test,
    synthetic_png,
    temporary_server,
)
from virtual_codec.store import default_model_store

SECTION_MARKS = ("<!-- engine figures -->", "<!-- end of engine figures -->")
SIDE = 512


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="duration of each measurement in seconds (default 10)"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results/engine.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/engine.md"))
    arguments = parser.parse_args()
    os.environ["VCODEC_STANDBY"] = "on"
    codec = open_codec(default_model_store())
    streams = [other_jpeg(SIDE, SIDE, seed) for seed in range(8)]
    figures: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for part in arguments.parts:
        busy = round(os.getloadavg()[0], 1)
        figures[part] = {**PARTS[part](codec, streams, arguments.seconds), "load_average_before": busy}
        print(part, json.dumps(figures[part]), flush=True)
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    write_table(figures, arguments.page)
    return 0


def capacity(codec: VirtualCodec, streams: list[bytes], seconds: float) -> dict[str, Any]:
    """Restored images per second, in threads of this process and through HTTP with one and two workers, in turns."""
    rounds: dict[str, list[float]] = {"in_process": [], "http": [], "http_two_workers": []}
    with serving() as (url, _), serving(VCODEC_WORKERS_PER_DEVICE="2") as (url_two, _):
        for _ in range(3):
            rounds["in_process"].append(in_process(codec, streams, seconds / 2))
            for name, address in (("http", url), ("http_two_workers", url_two)):
                rounds[name].append(load(address, streams, seconds / 2, clients=6).images_per_s)
    found = {name: round(statistics.median(values), 2) for name, values in rounds.items()}
    return {**found, "share": round(found["http"] / found["in_process"], 3)}


def latency(codec: VirtualCodec, streams: list[bytes], seconds: float) -> dict[str, Any]:
    """Median milliseconds of a restoring job without other load."""
    here: list[float] = []
    there: list[float] = []
    with serving() as (url, _):
        for _ in range(3):
            end = time.perf_counter() + seconds / 3
            while time.perf_counter() < end:
                started = time.perf_counter()
                codec.restore(streams[len(here) % len(streams)], RestoreOptions())
                here.append(1000 * (time.perf_counter() - started))
            there.append(load(url, streams, seconds / 3, clients=1).latency_ms(50))
    found = {"in_process_ms": round(statistics.median(here), 1), "http_ms": round(statistics.median(there), 1)}
    return {**found, "ratio": round(found["http_ms"] / found["in_process_ms"], 3)}


def overload(_codec: VirtualCodec, streams: list[bytes], seconds: float) -> dict[str, Any]:
    """Open loop at four times the capacity, with a limit of five seconds; times of /healthz during it."""
    with serving() as (url, _):
        able = load(url, streams, seconds, clients=6).images_per_s
        with asking(url) as health_ms:
            report = load(url, streams, 2 * seconds, clients=256, rate_per_s=4 * able, limit_s=5.0)
    return {
        "capacity_per_s": round(able, 2),
        "goodput_share": round(report.goodput_per_s / able, 3),
        "refusal_p50_ms": round(report.refusal_ms(50), 1),
        "healthz_p50_ms": round(statistics.median(health_ms), 1),
        "healthz_worst_ms": round(max(health_ms), 1),
        "statuses": dict(report.statuses),
    }


def kills(_codec: VirtualCodec, streams: list[bytes], seconds: float) -> dict[str, Any]:
    """SIGKILL of a worker every three seconds, with two workers and a standby worker."""
    done = threading.Event()
    deaths: list[int] = []

    def kill(server: int) -> None:
        while not done.wait(3.0):
            workers = children(server)
            if workers:
                deaths.append(min(workers))  # the oldest worker, which is warm if any worker is
                os.kill(deaths[-1], signal.SIGKILL)

    with serving(VCODEC_WORKERS_PER_DEVICE="2") as (url, pid):
        before = load(url, streams, seconds, clients=6).images_per_s
        thread = threading.Thread(target=kill, args=(pid,))
        thread.start()
        report = load(url, streams, 3 * seconds, clients=6)
        done.set()
        thread.join()
    return {
        "killed": len(deaths),
        "statuses": dict(report.statuses),
        "lost": sum(count for status, count in report.statuses.items() if status != "200"),
        "throughput_share": round(report.images_per_s / before, 3),
        "p99_ms": round(report.latency_ms(99)),
    }


def memory(_codec: VirtualCodec, streams: list[bytes], seconds: float) -> dict[str, Any]:
    """Resident megabytes of server and worker after each quarter of a load of mixed sizes."""
    mixed = list(streams)
    for width, height in ((96, 64), (1600, 1200), (770, 510), (300, 1100)):
        mixed.append(other_jpeg(width, height, 0))
    quarters = []
    with serving(VCODEC_STANDBY="off") as (url, pid):
        load(url, mixed, seconds, clients=4)
        for _ in range(4):
            load(url, mixed, seconds, clients=4)
            quarters.append(round(sum(resident_mb(process) for process in (pid, *children(pid)))))
    return {"resident_mb": quarters}


PARTS: dict[str, Callable[[VirtualCodec, list[bytes], float], dict[str, Any]]] = {
    "capacity": capacity,
    "latency": latency,
    "overload": overload,
    "kills": kills,
    "memory": memory,
}


def other_jpeg(width: int, height: int, seed: int) -> bytes:
    """Ordinary JPEG of a synthetic picture, on which the network always runs."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(synthetic_png(width, height, seed=seed))) as picture:
        picture.convert("RGB").save(file, "JPEG", quality=50)
    return file.getvalue()


def serving(**environment: str) -> contextlib.AbstractContextManager[tuple[str, int]]:
    return temporary_server(environment={**os.environ, **environment})


def load(url: str, streams: list[bytes], seconds: float, *, clients: int, **more: Any) -> Report:
    requests = [Request(path="/decompress", content=stream, pixels=SIDE * SIDE) for stream in streams]
    headers = {"Request-Timeout-Ms": str(round(1000 * more["limit_s"]))} if "limit_s" in more else {}
    sender = HttpSender(url, headers=headers)
    return run_load_test(LoadProfile(requests=requests, clients=clients, seconds=seconds, **more), sender)


def in_process(codec: VirtualCodec, streams: list[bytes], seconds: float) -> float:
    """Restored images per second, with as many threads as a worker has jobs."""
    threads = max(2, os.cpu_count() or 1)
    end = time.perf_counter() + seconds

    def loop(number: int) -> int:
        done = 0
        while time.perf_counter() < end:
            codec.restore(streams[(number + done) % len(streams)], RestoreOptions())
            done += 1
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(loop, range(threads)))
    return total / (time.perf_counter() - started)


@contextlib.contextmanager
def asking(url: str) -> Iterator[list[float]]:
    """Milliseconds of requests to /healthz, sent ten times a second during a block."""
    times: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.1):
            started = time.perf_counter()
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            connection.close()
            times.append(1000 * (time.perf_counter() - started))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield times
    finally:
        done.set()
        thread.join()


def children(pid: int) -> list[int]:
    """Process ids of a process's children."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def write_table(figures: dict[str, Any], page: Path) -> None:
    def of(part: str, name: str) -> str:
        return str(figures.get(part, {}).get(name, "–"))

    rows = [
        ("throughput of /decompress, 512x512, of that in-process", "0.9", of("capacity", "share")),
        ("latency of one restore, of that in-process", "1.15", of("latency", "ratio")),
        ("four times too many requests: goodput of capacity", "0.9", of("overload", "goodput_share")),
        ("... median time to refuse", "50 ms", of("overload", "refusal_p50_ms") + " ms"),
        ("... median time of /healthz", "ms", of("overload", "healthz_p50_ms") + " ms"),
        ("kill -9 of a worker every 3 s: requests lost", "0", f"{of('kills', 'lost')} ({of('kills', 'killed')} kills)"),
        ("... throughput of that before", "", of("kills", "throughput_share")),
        ("mixed sizes: resident MB after each quarter", "flat", of("memory", "resident_mb").strip("[]")),
    ]
    table = "\n".join(
        ["| what | goal | measured |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    )
    busy = max((part.get("load_average_before", 0) for part in figures.values()), default=0)
    if busy > (os.cpu_count() or 1):
        table += (
            f"\n\nThe machine did other work (load average up to {busy:g} on {os.cpu_count()} cores). Shares and times "
            "are therefore unreliable, the counts of lost requests are not."
        )
    text = page.read_text()
    start, end = (text.index(mark) for mark in SECTION_MARKS)
    page.write_text(f"{text[: start + len(SECTION_MARKS[0])]}\n{table}\n{text[end:]}")


if __name__ == "__main__":
    raise SystemExit(main())
