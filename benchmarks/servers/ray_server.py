"""Ray Serve server: replicas behind its HTTP proxy, in a local cluster without a dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Anybody who reaches a port of Ray may run code, so a token is needed. Without a given one, Ray leaves one in the home
# folder.
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))

import ray
from ray import serve
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.servers.job import JOBS, parse_arguments

_JOBS_PER_S = 30  # estimate for all replicas; as many jobs may wait as can be done within the timeout
_START_LIMIT_S = 150.0


class Work:
    def __init__(self, task: str, threads: int) -> None:
        self._job = JOBS[task](threads)

    async def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            return Response(b"ok")
        async with request.form() as form:
            upload = form["file"]
            assert isinstance(upload, UploadFile)
            data = await upload.read()
        return Response(await self._answer(data), media_type=self._job.media_type)

    async def _answer(self, data: bytes) -> bytes:
        return await asyncio.to_thread(self._job, data)


class BatchedWork(Work):
    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0.01)
    async def _answer(self, data: list[bytes]) -> list[bytes]:
        return await asyncio.to_thread(lambda: [self._job(each) for each in data])


def main() -> None:
    arguments = parse_arguments()
    stopped = threading.Event()
    environment = {name: value for name, value in os.environ.items() if name.startswith("BENCHMARK_")}
    environment["PYTHONPATH"] = os.getcwd()
    with _cluster(arguments.processes) as address:
        ray.init(address=address, log_to_driver=False, runtime_env={"env_vars": environment})
        serve.start(http_options={"host": "127.0.0.1", "port": arguments.port, "request_timeout_s": arguments.timeout})
        deployment = serve.deployment(
            BatchedWork if arguments.batch > 1 else Work,
            name="work",
            num_replicas=arguments.processes,
            max_ongoing_requests=max(2, 2 * arguments.batch),
            max_queued_requests=round(arguments.timeout * _JOBS_PER_S),
            ray_actor_options={"num_cpus": 1},
        )
        serve.run(deployment.bind(arguments.task, arguments.threads), route_prefix="/", name="work")
        signal.signal(
            signal.SIGTERM, lambda *_: stopped.set()
        )  # replaces Ray's handler, which ends the process at once
        stopped.wait()
        serve.shutdown()
        ray.shutdown()


@contextlib.contextmanager
def _cluster(cores: int) -> Iterator[str]:
    """Start a cluster on ports that are chosen beforehand, and yield its address.

    A cluster that `ray.init` starts dies on a busy machine: it gives its agent 15 s to choose a port (ray#65983).
    """
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(5)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in sockets]
    names = (
        "port",
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "runtime-env-agent-port",
        "metrics-export-port",
    )
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
        command += ["--include-dashboard=false", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}"]
        command += [f"--num-cpus={cores}", *(f"--{name}={port}" for name, port in zip(names, ports, strict=True))]
        cluster = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr)
        try:
            yield _wait_for_cluster(f"127.0.0.1:{ports[0]}", cluster)
        finally:
            cluster.terminate()
            cluster.wait()


def _wait_for_cluster(address: str, cluster: subprocess.Popen[bytes]) -> str:
    """Address of the cluster, after it is up and has CPUs."""
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end and cluster.poll() is None:
        with contextlib.suppress(Exception):  # various exceptions while the cluster is not up
            ray.init(address=address, log_to_driver=False)
            if ray.cluster_resources().get("CPU"):
                ray.shutdown()
                return address
        ray.shutdown()
        time.sleep(1)
    raise SystemExit("the cluster did not start")


if __name__ == "__main__":
    main()
