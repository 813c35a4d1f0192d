"""Cluster of three nodes under load, in which replicas, proxies and nodes end, and the application is updated."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, final

from benchmarks.reliability._check import OK, AllowedOutcomes, Checker
from benchmarks.reliability._cluster_faults import APPLICATION, CPUS, POOL, REPLICAS, Fault, Served, get_text
from benchmarks.reliability._faults import Facts
from benchmarks.reliability._nodes import HEAD, Nodes, nodes
from benchmarks.reliability._scenarios import ordinary_requests
from virtual_codec.load_test import Answer, HttpSender, Request

_PORT: Final = 8000
_CLIENTS: Final = 4
_BEFORE_S: Final = 5.0
_AFTER_S: Final = 10.0
_SETTINGS: Final = {"devices": "cpu", "threads": 1, "ray_replicas": REPLICAS, "ray_cpus": 1, "standby": "off"}


@final
class Balancer:
    """Sender that works as a load balancer: it uses the servers in turn, and the next one if a connection fails."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._senders = [HttpSender(url, timeout_s=120) for url in urls]
        self._next = itertools.count()
        self.sent_again: Counter[str] = Counter()

    def send(self, request: Request) -> Answer:
        """Answer of the first server that gives one, or the last failure."""
        first = next(self._next)
        answer = Answer(status="none")
        for number in range(len(self._senders)):
            answer = self._senders[(first + number) % len(self._senders)].send(request)
            if answer.status.isdigit():
                break
            self.sent_again[answer.status] += 1
        return answer


def cluster() -> Facts:
    """Results of each fault, for the application of `serve run` and for the pool of `vcodec serve`.

    The application comes first, because Serve keeps the proxy setting of the process that started it.

    Raises `OSError` without Ray or the right to make namespaces, and `TimeoutError` if the service does not recover.
    """
    if find_spec("ray") is None:
        raise FileNotFoundError("Ray is not installed (the extra `ray`)")
    rows: dict[str, Facts] = {}
    with tempfile.TemporaryDirectory(prefix="vc") as name, nodes(Path(name)) as made:
        for node in made.names:
            made.start(node, 0 if node == HEAD else CPUS)
        for kind, serving, faults in (("serve run", _application, APPLICATION), ("--pool ray", _pool, POOL)):
            with serving(made, Path(name)) as served:
                served.wait_until_whole()
                for fault, act in faults.items():
                    rows[f"{kind}: {fault}"] = row = _under_load(served, act)
                    print(f"{kind}: {fault}: {json.dumps(row)}", file=sys.stderr, flush=True)
    return {"nodes": len(made.names), "replicas": REPLICAS, "clients": _CLIENTS, "rows": rows}


@contextlib.contextmanager
def _pool(made: Nodes, folder: Path) -> Iterator[Served]:
    """`vcodec serve --pool ray` on the head node, attached to the cluster."""
    variables = {f"VCODEC_{name.upper()}": str(value) for name, value in _SETTINGS.items()}
    variables |= {"VCODEC_POOL": "ray", "VCODEC_RAY_ADDRESS": made.address, "VCODEC_DRAIN_DELAY_S": "0"}
    command = [sys.executable, "-m", "virtual_codec", "serve", "--host", made.ip(HEAD), "--port", str(_PORT)]
    with (folder / "serve.log").open("ab") as log, made.popen(HEAD, command, variables, stderr=log) as process:
        try:
            yield Served(nodes=made, urls=[f"http://{made.ip(HEAD)}:{_PORT}"], deploy=lambda _: None)
        finally:
            process.terminate()


@contextlib.contextmanager
def _application(made: Nodes, folder: Path) -> Iterator[Served]:
    """Application deployed from the head node. Callers use the proxies of all nodes."""
    command = [sys.executable, "-m", "benchmarks.reliability.ray_application", made.address, str(_PORT)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (folder / "deploy.log").open("ab") as log, made.popen(HEAD, command, stderr=log, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout

        def deploy(more: Mapping[str, object]) -> None:
            into.write(json.dumps({**_SETTINGS, **more}).encode() + b"\n")
            into.flush()
            said = []
            while (line := out.readline()) not in (b"deployed\n", b""):  # Ray may print other lines
                said.append(line)
            if not line:
                raise RuntimeError(f"not deployed: {said} {(folder / 'deploy.log').read_text()[-2000:]}")

        try:
            deploy({})
            yield Served(nodes=made, urls=[f"http://{made.ip(name)}:{_PORT}" for name in made.names], deploy=deploy)
        finally:
            into.close()
            process.wait(120)


def _under_load(served: Served, fault: Fault) -> Facts:
    """Results of a closed loop that begins before a fault and ends after the recovery."""
    sender = Balancer(served.urls)
    pictures = ordinary_requests()
    streams = [
        Request(path="/decompress", content=sender.send(request).content, label="decompress") for request in pictures
    ]
    checker = Checker(sender, AllowedOutcomes())
    checker.learn([*pictures, *streams])
    sender.sent_again.clear()
    requests = itertools.cycle([*pictures, *streams])
    stop, times_ms = threading.Event(), [0.0]

    def client() -> None:
        while not stop.is_set():
            start = time.monotonic()
            if checker.send(next(requests)).status != OK:
                time.sleep(0.1)  # keeps a refused client from a busy loop
            times_ms.append(1000 * (time.monotonic() - start))

    clients = [threading.Thread(target=client, daemon=True) for _ in range(_CLIENTS)]
    retries = _retries(served)
    for thread in clients:
        thread.start()
    try:
        time.sleep(_BEFORE_S)
        start = time.monotonic()
        note = fault(served)
        served.wait_until_whole()
        recovery_s = time.monotonic() - start
        time.sleep(_AFTER_S)
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    return {
        "description": (fault.__doc__ or "").strip().rstrip("."),
        **checker.summary(),
        "sent_again": dict(sender.sent_again),
        "retries": max(0, _retries(served) - retries),
        "slowest_ms": round(max(times_ms)),
        "recovery_s": round(recovery_s, 1),
        "note": str(note),
    }


def _retries(served: Served) -> int:
    """Number of retries in the service's metrics; of two API replicas, only the one that answers is counted."""
    with contextlib.suppress(OSError):
        found = re.findall(r"^vcodec_retries_total ([0-9.e+]+)$", get_text(f"{served.urls[0]}/metrics"), re.MULTILINE)
        return int(sum(map(float, found)))
    return 0
