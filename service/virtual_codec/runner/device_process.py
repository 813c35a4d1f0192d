"""Device process, which owns the device and runs the tiles of the codec processes that connect to it.

codec process ──► caller thread ─┐
codec process ──► caller thread ─┼─► batch queue ──► device
codec process ──► caller thread ─┘
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadModel, ModelNotFound, is_device_lost, is_out_of_memory
from virtual_codec.jobs import Job
from virtual_codec.logs import Event
from virtual_codec.manifest import is_restoring
from virtual_codec.runner import open_device
from virtual_codec.runner._batch_queue import BatchQueue
from virtual_codec.runner._caller import Caller
from virtual_codec.runner._device import Device
from virtual_codec.runner._link import Link
from virtual_codec.runner._network import Network
from virtual_codec.store import Manifest, ModelStore

_LOG: Final = logging.getLogger(__name__)
_DEVICE_LOST_STATUS: Final = 70
_BATCH_LIMIT_S: Final = 120.0  # a batch takes milliseconds, or seconds when its kernels are compiled
_CHECK_INTERVAL_S: Final = 5.0


def open_device_process(
    *, store: Path, device: str, device_process: Path, model: str | None = None, **_: object
) -> DeviceProcess:
    """Open the device, load the store's default model or `model`, and listen at the path `device_process`."""
    return DeviceProcess(open_device(device), store, device_process, model)


@final
class DeviceProcess:
    """Device, its batch queue, and the connected callers. For the pool it is a `JobHandler` without jobs.

    If the device is lost or hangs, the process ends. Its supervisor starts the next one, to which callers reconnect.
    """

    def __init__(self, device: Device, store: Path, path: Path, model: str | None) -> None:
        self._device = device
        self._store = ModelStore(store, default=model, tolerant=True)
        self._networks: weakref.WeakValueDictionary[tuple[str, ...], Network] = weakref.WeakValueDictionary()
        self._warm: dict[str, list[Network]] = {}
        self._loading = threading.Lock()
        self._queue = BatchQueue(device)
        self.warm_model(self._store.default.id)
        path.unlink(missing_ok=True)  # left by the previous process
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(str(path))
        listening.listen(128)
        self._start("callers", lambda: self._accept(listening))
        self._start("watchdog", self._watch)

    @property
    def notes(self) -> Mapping[str, str]:
        """Notes of the device, and the largest number of tiles in a batch."""
        return {**self._device.notes, "batch": str(self._device.limits.max_items)}

    @property
    def counts(self) -> RunnerCounts:
        """Counters of the batches, and the waiting tiles."""
        return self._queue.counts

    def run(self, job: Job) -> NoReturn:
        """Raise `NotImplementedError`: codec processes run the jobs."""
        raise NotImplementedError("the device process runs no jobs")

    def warm_model(self, model: str) -> None:
        """Reread the store, and load all networks of a model and those that restore of its alternatives.

        Raises `BadModel` or `ModelNotFound`. Alternatives with damaged weights are passed over.
        """
        store = ModelStore(self._store.root, default=model, tolerant=True)
        manifest = store.get(model)
        networks = [self._network(store, manifest, key) for key in manifest.networks if _is_used(manifest, key)]
        for alternative in store.alternatives_of(manifest):
            networks += self._restoring_networks(store, alternative)
        self._store = store
        self._warm[manifest.id] = networks

    def forget_model(self, model: str) -> None:
        """Free the networks of a model and its alternatives once no caller and no other warm model uses them."""
        self._warm.pop(model, None)

    def network(self, model: str, key: str) -> Network:
        """Network of a model, loaded if necessary. Raises `BadModel` or `ModelNotFound`."""
        store = self._store
        try:
            manifest = store.get(model)
        except ModelNotFound:  # the model was added since the store was read
            manifest = ModelStore(store.root, default=model, tolerant=True).get(model)
        return self._network(store, manifest, key)

    def _restoring_networks(self, store: ModelStore, alternative: Manifest) -> list[Network]:
        try:
            return [self._network(store, alternative, key) for key in alternative.networks if is_restoring(key)]
        except BadModel as reason:
            _LOG.error(Event("alternative_refused", model=alternative.id, reason=reason))
            return []

    def _network(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        entry = manifest.networks[key]
        name = (entry.sha256, entry.architecture, repr(sorted(entry.arguments.items())))
        with self._loading:
            network = self._networks.get(name)
            if network is None:
                network = self._networks[name] = self._prepare(store, manifest, key)
            return network

    def _prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        try:
            return self._device.prepare(store, manifest, key)
        except BaseException as error:
            if not is_out_of_memory(error):
                raise
            no_memory = error.with_traceback(None)  # the traceback keeps what was loaded
        self._device.release_memory()
        _LOG.warning(Event("network_out_of_memory", model=manifest.id, network=key))
        raise no_memory

    def _accept(self, listening: socket.socket) -> None:
        hello = {"did": "hello", "notes": self.notes, "max_items": self._device.limits.max_items}
        while True:
            connected, _ = listening.accept()
            caller = Caller(Link(connected), self._queue, self.network, self._on_error)
            self._start("caller", lambda caller=caller: caller.serve(hello))  # type: ignore[misc]

    def _on_error(self, error: BaseException) -> None:
        if is_device_lost(error):
            _exit_device_lost("the device is lost", error)

    def _watch(self) -> None:
        while True:
            time.sleep(_CHECK_INTERVAL_S)
            if self._queue.longest_s > _BATCH_LIMIT_S:
                _exit_device_lost("a batch hangs", None)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()


def _is_used(manifest: Manifest, key: str) -> bool:
    return is_restoring(key) or not manifest.retired


def _exit_device_lost(reason: str, error: BaseException | None) -> NoReturn:
    _LOG.error(Event("device_lost", reason=reason, exception="".join(traceback.format_exception(error))))
    os._exit(_DEVICE_LOST_STATUS)
