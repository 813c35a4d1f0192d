"""Ray Serve: replicas behind its HTTP proxy, in a cluster of its own on this machine, without a dashboard."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import threading

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # loopback, for minutes; else it leaves a token in the home folder

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.servers.job import JOBS, parse_arguments

_WAITING_S = 5.0  # of work may wait in front of the replicas: what callers of this benchmark put up with
_JOBS_PER_S = 16


class Work:
    def __init__(self, task: str, threads: int) -> None:
        self._job = JOBS[task](threads)

    async def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            return Response(b"ok")
        async with request.form() as form:
            data = await form["file"].read()
        return Response(await self._answer(data), media_type=self._job.media_type)

    async def _answer(self, data: bytes) -> bytes:
        return await asyncio.to_thread(self._job, data)


class BatchedWork(Work):
    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0.01)
    async def _answer(self, data: list[bytes]) -> list[bytes]:
        return await asyncio.to_thread(lambda: [self._job(each) for each in data])


def main() -> None:
    arguments = parse_arguments()
    folder = tempfile.mkdtemp(prefix="ray-")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    environment = {name: value for name, value in os.environ.items() if name.startswith("BENCHMARK_")}
    environment["PYTHONPATH"] = os.getcwd()
    ray.init(
        address="local",  # never a cluster that happens to be there
        _temp_dir=folder,
        num_cpus=arguments.processes,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": environment},
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": arguments.port, "request_timeout_s": arguments.timeout})
        deployment = serve.deployment(
            BatchedWork if arguments.batch > 1 else Work,
            name="work",
            num_replicas=arguments.processes,
            max_ongoing_requests=max(2, 2 * arguments.batch),
            max_queued_requests=-1 if arguments.timeout > 60 else round(_WAITING_S * _JOBS_PER_S),
            ray_actor_options={"num_cpus": 1},
        )
        serve.run(deployment.bind(arguments.task, arguments.threads), route_prefix="/", name="work")
        stopped.wait()
        serve.shutdown()
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
