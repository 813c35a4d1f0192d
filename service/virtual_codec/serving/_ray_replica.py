"""Replica of the codec in a Ray cluster: a pool of worker processes, called through a handle.

The replica itself decodes no image. Its worker process does, which a hostile image may take over and a deadline may
kill. The replica checks the worker's data and survives it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

import ray
from ray import serve

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadModel, NoWorker, VirtualCodecError
from virtual_codec.logs import Event, configure
from virtual_codec.serving import Pool, PoolPolicy, open_pool
from virtual_codec.serving._direct_server import DirectServer
from virtual_codec.serving._frames import encode
from virtual_codec.serving._messages import Done, Failed, ModelWarmed
from virtual_codec.serving._ray_autoscaling import WORK
from virtual_codec.serving._replica_policy import check_health, replica_policy
from virtual_codec.serving._replicas import Call, Frame, Snapshot
from virtual_codec.serving._retries import internal_error
from virtual_codec.store import ModelStore

_LOG: Final = logging.getLogger(__name__)
_CALLER_GONE_S: Final = 5.0
_WORKER_WAIT_S: Final = 0.2


@final
class CodecReplica:
    """Pool of worker processes in a Ray actor. All methods are called on one event loop."""

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self, worker_factory: str, arguments: Mapping[str, object], policy: PoolPolicy
    ) -> None:
        configure("info", "json")
        bind_to_node()
        self._name: str = serve.get_replica_context().replica_id.unique_id
        self._model = arguments.get("model")
        self._store = arguments.get("store")
        self._policy = replica_policy(policy)
        self._work_s: dict[str, tuple[float, float]] = {}  # caller -> (seconds of work, time of the report)
        self._ready_at = time.monotonic()
        self._pool: Pool = open_pool("local", arguments, self._policy, worker_factory=worker_factory)
        self._server = DirectServer(self.run)
        await self._pool.start()
        await _until_warm(self._pool)
        self._direct = await self._server.open(ray.util.get_node_ip_address())

    async def run(self, call: Call) -> Frame:
        """Run a job. Its result or error is a frame."""
        if not await self._has_worker():
            return encode(Failed(number=0, error=NoWorker("no worker of this replica is up", retry_after_s=1.0)))
        started = time.monotonic()
        try:
            result = await self._pool.submit(call.job(), pixels=call.pixels)
        except VirtualCodecError as error:
            return encode(Failed(number=0, error=error))
        except Exception:
            _LOG.exception(Event("job_broke", request_id=call.request_id))
            return encode(Failed(number=0, error=internal_error()))
        seconds = max(0.0, time.monotonic() - started - result.stages_s.get("queue", 0.0))
        result = replace(result, worker=f"{self._name}/{result.worker}")
        return encode(Done(number=0, result=result, seconds=seconds, counts=RunnerCounts()))

    async def snapshot(self, caller: str, work_s: float) -> Snapshot:
        """State of this replica. The caller reports its seconds of work for all replicas."""
        self._work_s[caller] = (work_s, time.monotonic())
        model = self._model if isinstance(self._model, str) else None
        return Snapshot(replica=self._name, state=self._pool.state(), model=model, direct=self._direct)

    async def warm_model(self, model: str) -> Frame:
        """Load the model of that id in the workers; later workers open with it. An error is a frame too."""
        try:
            await self._pool.warm_model(model)
        except VirtualCodecError as error:
            return encode(ModelWarmed(number=0, error=error))
        except Exception as error:
            _LOG.exception(Event("model_broke"))
            return encode(ModelWarmed(number=0, error=BadModel(f"the model cannot be loaded ({type(error).__name__})")))
        self._model = model
        return encode(ModelWarmed(number=0, error=None))

    async def forget_model(self, model: str) -> None:
        """Let the workers free the memory of a model."""
        self._pool.forget_model(model)

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Load the model `user_config["model"]`, a name or id, while jobs go on. Raises if it cannot be loaded."""
        name = user_config.get("model")
        if not isinstance(name, str) or not isinstance(self._store, Path):
            raise BadModel(f"user_config must be {{'model': NAME}}, got {user_config!r:.80}")
        model = (await asyncio.to_thread(ModelStore, self._store, tolerant=True)).get(name).id
        if model != self._model:
            await self._pool.warm_model(model)
            self._model = model

    async def check_health(self) -> None:
        """Raise if the workers do not answer and their supervision has not replaced them."""
        check_health(self._pool.state(), self._policy, unready_s=self._unready_s())

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Seconds of work of all callers, for one thread."""
        now = time.monotonic()
        return {WORK: sum(work_s for work_s, said_at in self._work_s.values() if now - said_at < _CALLER_GONE_S)}

    async def __del__(self) -> None:
        await self._pool.stop()
        await self._server.close()

    async def _has_worker(self) -> bool:
        """Wait a moment for a ready worker; False if there is none. Meanwhile the router sees this replica as busy."""
        until = time.monotonic() + _WORKER_WAIT_S
        while not (is_ready := self._pool.state().is_ready) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return is_ready

    def _unready_s(self) -> float:
        if self._pool.state().is_ready:
            self._ready_at = time.monotonic()
        return time.monotonic() - self._ready_at


async def _until_warm(pool: Pool) -> None:
    """Wait for a warm worker, so that Ray sends no jobs before. Raises `NoWorker` if none becomes ready."""
    while not pool.state().is_ready:
        try:
            pool.admit()
        except NoWorker:
            await pool.stop()
            raise
        await asyncio.sleep(0.05)


def bind_to_node() -> None:
    """Bind this replica's port to the node's address, because Ray Serve opens it on all interfaces."""
    from ray.serve._private import replica as module

    add_port, address = module.add_port_to_grpc_server, ray.util.get_node_ip_address()

    def bound(server: Any, wanted: str) -> Any:
        return add_port(server, wanted.replace("[::]", f"[{address}]" if ":" in address else address))

    module.add_port_to_grpc_server = bound
