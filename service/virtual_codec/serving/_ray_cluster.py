"""Replicas deployed by this process, in a cluster that it starts on loopback or in a running one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, final

from virtual_codec.cores import usable_cores
from virtual_codec.errors import BadOption, NoWorker
from virtual_codec.serving import PoolPolicy, ReplicaPolicy
from virtual_codec.serving._direct_replicas import DirectReplicas
from virtual_codec.serving._replicas import Call, Frame, Replicas

_STORE_BYTES: Final = 512 * 2**20  # for bodies and answers in transit; Ray spills further ones to disk
_NOT_READY_MESSAGE: Final = "the replicas are not up"
_TOKEN: Final = secrets.token_hex(32)  # the same for every attempt, because Ray reads it only once in a process


@final
class OwnReplicas:
    """Replicas that this process starts and ends. Raises `BadOption` where Ray is not installed."""

    def __init__(self, worker_factory: str, arguments: Mapping[str, object], policy: PoolPolicy) -> None:
        if find_spec("ray") is None:
            raise BadOption("the pool `ray` needs Ray: pip install 'virtual-codec[ray]'")
        self._worker_factory = worker_factory
        self._arguments = arguments
        self._policy = policy
        self._application = f"virtual-codec-{secrets.token_hex(4)}"
        self._folder: Path | None = None
        self._replicas: Replicas | None = None

    async def open(self) -> None:
        """Connect to the cluster, or start one, and deploy. Takes as long as Ray and the workers take to start."""
        await asyncio.to_thread(self._connect)
        _restore_sigterm()
        self._replicas = await asyncio.to_thread(self._deploy)

    async def close(self) -> None:
        """End the replicas, and the cluster if this process started it."""
        if self._replicas is not None:
            await self._replicas.close()
        self._replicas = None
        await asyncio.to_thread(self._end_cluster)

    async def run(self, call: Call) -> Frame:
        """Run a job on one replica."""
        if self._replicas is None:
            raise NoWorker(_NOT_READY_MESSAGE, retry_after_s=5.0)
        return await self._replicas.run(call)

    async def call_all(self, method: str, *arguments: object) -> list[Any]:
        """Call a method on every replica; an empty list while there is none."""
        return [] if self._replicas is None else await self._replicas.call_all(method, *arguments)

    def _connect(self) -> None:
        policy = self._policy.replicas
        if policy.address is None:
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="vcodec-ray-"))
            _prepare_own()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray  # not earlier: Ray reads the environment when it is imported

        if ray.is_initialized():
            return
        try:
            _connect(policy, self._folder)
        except Exception:
            if self._folder is not None:
                _kill_children(self._folder)
            raise

    def _deploy(self) -> Replicas:
        from ray import serve

        from virtual_codec.serving._ray_calls import HandleReplicas
        from virtual_codec.serving._ray_deployment import LOGGING, codec_application

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(proxy_location="Disabled", logging_config=LOGGING)
        application = codec_application(self._worker_factory, self._arguments, self._policy)
        try:
            return DirectReplicas(HandleReplicas(serve.run(application, name=self._application, route_prefix=None)))
        except RuntimeError as error:
            state = serve.status().applications[self._application]
            reasons = [
                deployment.message.strip().rpartition("\n")[2]
                for deployment in state.deployments.values()
                if deployment.message
            ]
            raise NoWorker("; ".join(reasons) or str(error), retry_after_s=30.0) from error

    def _end_cluster(self) -> None:
        import ray
        from ray import serve

        if ray.is_initialized():
            if self._folder is None:  # the cluster goes on without this
                serve.delete(self._application)
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _kill_children(folder: Path) -> None:
    """Kill this process's children whose working folder this is, left by a failed start of Ray. Linux only."""
    for listed in Path("/proc/self/task").glob("*/children"):
        for child in listed.read_text().split():
            with contextlib.suppress(OSError):
                if str(folder).encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)


def _restore_sigterm() -> None:
    """Restore this process's handler of SIGTERM, because Ray's handler ends the process at once."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def _prepare_own() -> None:
    """Set the environment of a secure cluster, because anyone who reaches a port of Ray can run code."""
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=_TOKEN,
        RAY_SERVE_METRICS_EXPORT_INTERVAL_MS="5000",  # nobody reads them here, and ten times a second costs
        RAY_SERVE_CONTROL_LOOP_INTERVAL_S="0.3",
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # for a single machine: all ports on 127.0.0.1, on every platform
        PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path),
    )


def _connect(policy: ReplicaPolicy, folder: Path | None) -> None:
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)  # Ray warns that a thread cannot set a handler of SIGTERM
    if folder is None:
        ray.init(address=policy.address, configure_logging=False, log_to_driver=False)
        return
    ray.init(
        address="local",  # never join a foreign cluster that happens to run here
        num_cpus=max(usable_cores(), math.ceil((policy.most or policy.least) * policy.cpus)),
        include_dashboard=False,
        object_store_memory=_STORE_BYTES,
        configure_logging=False,
        log_to_driver=False,
        _temp_dir=str(folder),
    )
