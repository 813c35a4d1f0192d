"""Loaded models of a store: the model of a request, of a file of another encoder, and of a stream."""

from __future__ import annotations

import contextlib
import threading
from typing import final

from virtual_codec.bitstream import StreamHeader
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.errors import BadModel, BadOption, ModelNotFound, UnknownStreamModel, UnsupportedFormat
from virtual_codec.images import RESTORABLE
from virtual_codec.runner import Runner
from virtual_codec.store import Manifest, ModelStore, check_compresses


@final
class LoadedModels:
    """Models of a store, each loaded at its first use. Safe to use from several threads.

    The default models stay those of the first store when the store is read again.
    """

    def __init__(self, store: ModelStore, runner: Runner) -> None:
        self._store = store  # as it was last read
        self._initial_store = store
        self._runner = runner
        self._loaded: dict[str, ModelNetworks] = {}
        self._lock = threading.Lock()

    def default(self) -> ModelNetworks:
        """Return the default model of the store."""
        return self._model_named(self._initial_store.default.id)

    def of_codec(self, codec: str, name_or_id: str | None) -> ModelNetworks:
        """Return the model that makes streams of a codec: the named one, or the default.

        Raises `BadOption` for an unknown codec, or one that the model does not support, and `ModelNotFound`.
        """
        if codec not in RESTORABLE:
            raise BadOption(f"codec must be one of {', '.join(sorted(RESTORABLE))}, got {codec[:40]!r}")
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
        """Return the models of the store in use that may restore a model's descriptions, at each of its scales.

        Those that are missing or damaged are passed over.
        """
        found = []
        for name in model.manifest.alternatives:
            with contextlib.suppress(ModelNotFound, BadModel):
                found.append(self._model_named(name))
        return [each for each in found if _can_restore_for(each.manifest, model.manifest)]

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

    def forget(self, model: str) -> None:
        """Free the memory of the model of that id. Jobs that use it go on; a later job loads it again."""
        with self._lock:
            self._loaded.pop(model, None)

    def _model_for_codec(self, codec: str, name_or_id: str | None) -> ModelNetworks:
        return self._model_named(name_or_id or self._initial_store.default_of(codec).id)

    def _model_named(self, name_or_id: str) -> ModelNetworks:
        with self._lock:
            if name_or_id in self._loaded:
                return self._loaded[name_or_id]
            manifest = self._store.get(name_or_id)
            if manifest.id not in self._loaded:
                self._loaded[manifest.id] = ModelNetworks(self._store, manifest, self._runner)
            return self._loaded[manifest.id]


def _can_restore_for(alternative: Manifest, model: Manifest) -> bool:
    has_scales_and_codecs = {*model.scales} <= {*alternative.scales} and {*model.codecs} <= {*alternative.codecs}
    return has_scales_and_codecs and not alternative.retired
