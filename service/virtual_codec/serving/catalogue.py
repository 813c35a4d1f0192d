"""Catalogue of the served models: the default model, and its replacement without a pause.

    read the store ─► check memory ─► every worker loads it ─► switch ─► the old model's jobs finish ─► forget it
                          any of these fails: nothing has changed

The switch is one assignment on the event loop. A job gets its model when it is submitted, and keeps the model even if
the default changes while the job is queued.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, final

from virtual_codec.errors import BadModel, ModelNotFound, Unavailable, VirtualCodecError
from virtual_codec.logs import Event
from virtual_codec.serving import Pool
from virtual_codec.serving._devices import available_bytes
from virtual_codec.store import Manifest, ModelStore

ModelState = Literal["active", "loading", "draining", "stored"]

_LOG: Final = logging.getLogger(__name__)

# Memory of one worker for a model, in sizes of its files. While a file is read there are its bytes and their tensors.
# With float32 weights and minimal filtering the loaded networks take 4.1 times a file of float32 numbers, and 8.2 times
# one of float16 numbers.
_MODEL_COPIES: Final = 11
# Memory for the golden picture and its tiles.
_WORKING_BYTES: Final = 64 * 2**20


@final
class Catalogue:
    """Model store as it was last read, with the number of jobs that use each model.

    The pool's workers must open with the default model of `store`. `available_bytes` returns the free memory, or None
    if it is unknown.
    """

    def __init__(
        self, store: ModelStore, pool: Pool, *, available_bytes: Callable[[], int | None] = available_bytes
    ) -> None:
        self._pool = pool
        self._available_bytes = available_bytes
        self._store = store
        self._turn = asyncio.Lock()
        self._loading: Manifest | None = None
        self._draining: dict[str, Manifest] = {}
        self._jobs: Counter[str] = Counter()
        self._swaps: Counter[str] = Counter(success=0, failure=0)
        self._load_seconds = 0.0

    @property
    def store(self) -> ModelStore:
        """Store as it was last read; its default is the active model."""
        return self._store

    @property
    def swaps(self) -> Mapping[str, int]:
        """Number of activations by result: success, failure."""
        return self._swaps

    @property
    def load_seconds(self) -> float:
        """Seconds that the last activated model took to load in all workers."""
        return self._load_seconds

    def warn_of_damage(self) -> None:
        """Log every damaged folder of the store."""
        for folder, reason in self._store.damaged.items():
            _LOG.warning(Event("model_damaged", folder=folder, reason=reason))

    def models(self) -> list[Manifest]:
        """All models: first those of the store by name, then others that are still used or being loaded."""
        models = self._store.models()
        known = {model.id for model in models}
        loading = [self._loading] if self._loading is not None else []
        return models + [model for model in (*loading, *self._draining.values()) if model.id not in known]

    def state_of(self, model: Manifest) -> ModelState:
        """State of a model: `active` for new jobs, `loading`, `draining` (its last jobs run), or `stored`."""
        if self._loading is not None and model.id == self._loading.id:
            return "loading"
        if model.id in self._draining:
            return "draining"
        return "active" if self.is_active(model) else "stored"

    def is_active(self, model: Manifest) -> bool:
        """True if jobs that name no model get this one."""
        try:
            return model.id == self._store.default.id
        except ModelNotFound:
            return False

    def jobs(self, model: Manifest) -> int:
        """Number of unfinished jobs that use the model."""
        return self._jobs[model.id]

    @contextmanager
    def use(self, name_or_id: str | None, codec: str = "jpeg") -> Iterator[Manifest]:
        """Use the model of that name or id in a job until the context ends.

        None stands for the active model or, if that does not support the codec, for one that does.

        Raises `ModelNotFound` when there is none.
        """
        model = self._store.default_of(codec) if name_or_id is None else self._store.get(name_or_id)
        self._jobs[model.id] += 1
        try:
            yield model
        finally:
            self._jobs[model.id] -= 1
            self._forget_if_unused(model.id)

    async def activate(self, name: str) -> Manifest:
        """Reread the store, and make the model of that name or id the default until the next `reload`.

        If it raises `BadModel`, `ModelNotFound` or `Unavailable`, nothing has changed.
        """
        return await self._change(lambda: ModelStore(self._store.root, default=name, tolerant=True))

    async def reload(self) -> Manifest:
        """Reread the store, and make the model in its CURRENT the default. Raises the errors of `activate`."""
        return await self._change(lambda: ModelStore(self._store.root, tolerant=True))

    async def _change(self, read: Callable[[], ModelStore]) -> Manifest:
        async with self._turn:
            started = time.monotonic()
            try:
                store = await asyncio.to_thread(read)
                await self._load(store)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._swaps["failure"] += 1
                _LOG.error(Event("model_refused", reason=error, goes_on_with=_name(self._store)))
                if isinstance(error, VirtualCodecError):
                    raise
                _LOG.exception(Event("model_broke"))
                raise BadModel(f"the model cannot be loaded ({type(error).__name__})") from error
            return self._switch(store, time.monotonic() - started)

    async def _load(self, store: ModelStore) -> None:
        model = store.default
        workers = max(1, len(self._pool.state().workers))
        needed = workers * (_MODEL_COPIES * store.size_bytes(model) + _WORKING_BYTES)
        available = await asyncio.to_thread(self._available_bytes)
        if available is not None and available < needed:
            raise Unavailable(
                f"model {model.name} needs {needed >> 20} MiB besides the active one, and {available >> 20} are free",
                limit=available,
                actual=needed,
                retry_after_s=60.0,
            )
        _LOG.info(Event("model_loading", model=model.id, name=model.name))
        self._loading = model
        try:
            await self._pool.warm_model(model.id)
        finally:
            self._loading = None

    def _switch(self, store: ModelStore, seconds: float) -> Manifest:
        before, model = self._store, store.default
        self._store = store
        self._draining.pop(model.id, None)
        self._swaps["success"] += 1
        self._load_seconds = seconds
        _LOG.info(
            Event("model_active", model=model.id, name=model.name, instead_of=_name(before), seconds=round(seconds, 3))
        )
        self.warn_of_damage()
        if before.models() and before.default.id != model.id:
            self._draining[before.default.id] = before.default
            self._forget_if_unused(before.default.id)
        return model

    def _forget_if_unused(self, model: str) -> None:
        if self._jobs[model] == 0:
            del self._jobs[model]
            is_loading = self._loading is not None and self._loading.id == model
            if self._draining.pop(model, None) is not None and not is_loading:
                self._pool.forget_model(model)
                _LOG.info(Event("model_drained", model=model))


def _name(store: ModelStore) -> str:
    return store.default.name if store.models() else "none"
