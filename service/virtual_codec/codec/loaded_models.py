"""Loaded models of a store: the model of a request, of a file of another encoder, and of a stream."""

from __future__ import annotations

import threading
from typing import final

from virtual_codec.bitstream import StreamHeader
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.errors import ModelNotFound, UnknownStreamModel, UnsupportedFormat
from virtual_codec.images import RESTORABLE, check_codec
from virtual_codec.runner import Runner
from virtual_codec.store import Manifest, ModelStore, check_compresses


@final
class LoadedModels:
    """Models of a store, each loaded at its first use. Safe to use from several threads.

    The default models stay those of the first store when the store is read again.
    """

    def __init__(self, store: ModelStore, runner: Runner) -> None:
        self._store = store  # the store as it was last read
        self._initial_store = store
        self._runner = runner
        self._loaded: dict[str, ModelNetworks] = {}
        self._served = {store.default.id} if store.models() else set()  # defaults: the first, and adopted ones
        self._lock = threading.Lock()

    def default(self) -> ModelNetworks:
        """Return the default model of the store."""
        return self._model_named(self._initial_store.default.id)

    def of_codec(self, codec: str, name_or_id: str | None) -> ModelNetworks:
        """Return the model that makes streams of a codec: the named one, or the default.

        Raises `BadOption` for an unknown codec, or one that the model does not support, and `ModelNotFound`.
        """
        check_codec(codec)
        model = self._model_for_codec(codec, name_or_id)
        check_compresses(model.manifest, codec)
        return model

    def of_foreign(self, codec: str, name_or_id: str | None) -> ModelNetworks:
        """Return the model that restores other encoders' files of a codec. Raises `UnsupportedFormat` if none does."""
        model = self._model_for_codec(codec, name_or_id)
        if codec not in model.manifest.codecs:
            raise UnsupportedFormat(
                f"model {model.manifest.name} restores {', '.join(model.manifest.codecs)} files; this is a "
                f"{RESTORABLE[codec]}"
            )
        return model

    def alternatives_of(self, model: ModelNetworks) -> list[ModelNetworks]:
        """Return the models that may restore a model's descriptions (`ModelStore.alternatives_of`)."""
        with self._lock:
            return [self._networks_of(other) for other in self._store.alternatives_of(model.manifest)]

    def of_stream(self, header: StreamHeader) -> ModelNetworks:
        """Return the model that a stream names. Raises `UnknownStreamModel`."""
        try:
            return self._model_named(header.model)
        except ModelNotFound as error:
            raise UnknownStreamModel(f"the stream's model is not in this store: {error.detail}") from error

    def adopt(self, others: LoadedModels) -> None:
        """Take over the store of `others` and their loaded models.

        A model whose folder was removed stays loaded, for the jobs that name it.
        """
        manifests = {manifest.id: manifest for manifest in others._store.models()}
        with self._lock:
            kept = {
                key: model
                for key, model in self._loaded.items()
                if manifests.get(key, model.manifest) == model.manifest
            }
            self._store, self._loaded = others._store, kept | others._loaded
            self._served |= others._served

    def forget(self, model: str) -> None:
        """Free the memory of the model of that id and of its alternatives, unless another default needs them.

        Jobs that use them go on; a later job loads them again.
        """
        with self._lock:
            self._served.discard(model)
            needed = self._served.union(*map(self._alternative_ids, self._served))
            for unused in {model, *self._alternative_ids(model)} - needed:
                self._loaded.pop(unused, None)

    def _alternative_ids(self, model: str) -> list[str]:
        return self._loaded[model].manifest.alternatives if model in self._loaded else []

    def _model_for_codec(self, codec: str, name_or_id: str | None) -> ModelNetworks:
        return self._model_named(name_or_id or self._initial_store.default_of(codec).id)

    def _model_named(self, name_or_id: str) -> ModelNetworks:
        with self._lock:
            if name_or_id in self._loaded:
                return self._loaded[name_or_id]
            return self._networks_of(self._store.get(name_or_id))

    def _networks_of(self, manifest: Manifest) -> ModelNetworks:
        if manifest.id not in self._loaded:
            self._loaded[manifest.id] = ModelNetworks(self._store, manifest, self._runner)
        return self._loaded[manifest.id]
