"""Files of the web site as bytes: scripts and kernels of the package, and weights of a store's models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final, final

from virtual_codec.errors import BadModel
from virtual_codec.store import Manifest, ModelStore
from virtual_codec.web._scripts import CODECS_SCRIPT, SCRIPT, SCRIPT_SOURCES, joined_scripts
from virtual_codec.web._weights import pack_weights

_FIXED_FILES: Final = ("worker.js", "kernels.wasm")
_VERSIONED_SOURCES: Final = (*SCRIPT_SOURCES, *_FIXED_FILES, "_weights.py")
_BROWSER_CODECS: Final = frozenset({"jpeg", "webp", "avif"})
_MAX_CACHED_WEIGHTS: Final = 16  # files of 0.5 to 0.9 MB each

MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".bin": "application/octet-stream",
    ".json": "application/json",
}


@dataclass(frozen=True, kw_only=True)
class WebFile:
    """File of the site: its path and its content."""

    path: str
    content: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """Media type, by the path's suffix."""
        return MEDIA_TYPES[Path(self.path).suffix]

    @property
    def sha256(self) -> str:
        """Hash of the content, 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()


@final
class WebSite:
    """Web site of this version of the package. Safe to use from several threads."""

    def __init__(self) -> None:
        folder = resources.files("virtual_codec.web")
        sources = {name: folder.joinpath(name).read_bytes() for name in _VERSIONED_SOURCES}
        scripts = joined_scripts({name: sources[name].decode() for name in SCRIPT_SOURCES})
        self._script = scripts[SCRIPT]
        self._fixed = {name: sources[name] for name in _FIXED_FILES} | {CODECS_SCRIPT: scripts[CODECS_SCRIPT].encode()}
        self._weights: dict[tuple[str, int], bytes] = {}
        digest = hashlib.sha256()
        for name in _VERSIONED_SOURCES:
            digest.update(hashlib.sha256(sources[name]).digest())
        self.version = digest.hexdigest()[:12]

    def script(self, default_model: str, codec_model: str = "") -> WebFile:
        """ES module that pages import.

        `default_model` is the id of the model for foreign JPEGs, `codec_model` that for foreign WebPs and AVIFs.
        """
        text = self._script.replace("@VERSION@", self.version)
        text = text.replace("@MODEL@", default_model).replace("@CODEC_MODEL@", codec_model)
        return WebFile(path=SCRIPT, content=text.encode())

    def fixed_files(self, model: Manifest | None = None) -> list[WebFile]:
        """Files of the version's folder except weights. With `model`, only those that its streams need."""
        names = list(self._fixed)
        if model is not None and {"webp", "avif"}.isdisjoint(model.codecs):
            names.remove(CODECS_SCRIPT)
        return [WebFile(path=f"{self.version}/{name}", content=self._fixed[name]) for name in names]

    def weights(self, store: ModelStore, model: Manifest, scale: int) -> WebFile:
        """Weights file of a model's post-processing network. Raises `BadModel` if browsers cannot run it.

        The first call converts the store's weights in about 0.1 s. Later calls use a cache.
        """
        key = (model.id, scale)
        content = self._weights.get(key)
        if content is None:
            content = _weights_of(store, model, scale)
            if len(self._weights) < _MAX_CACHED_WEIGHTS:
                self._weights[key] = content
        return WebFile(path=f"{self.version}/{model.id}-{scale}.bin", content=content)

    def model_files(self, store: ModelStore, model: Manifest) -> list[WebFile]:
        """Files that restore a model's streams, the script first. Raises `BadModel` as `weights` does."""
        weights = [self.weights(store, model, scale) for scale in model.scales]
        ids = [model.id if codec in model.codecs else _default_id(store, codec) for codec in ("jpeg", "avif")]
        return [self.script(*ids), *self.fixed_files(model), *weights]

    def export(self, store: ModelStore) -> list[WebFile]:
        """Files for a static host: scripts, weights of every model that browsers can run, and `manifest.json`.

        Raises `BadModel` if browsers cannot run the default model, and `ModelNotFound` for an empty store.
        """
        script, *others = self.model_files(store, store.default)
        files = [script, *self.fixed_files(), *(file for file in others if file.path.endswith(".bin"))]
        for model in store.models():
            if model.id == store.default.id:
                continue
            try:
                files += [self.weights(store, model, scale) for scale in model.scales]
            except BadModel:
                continue
        manifest = json.dumps({"version": self.version, "files": describe(files)}, indent=1) + "\n"
        return [*files, WebFile(path="manifest.json", content=manifest.encode())]


def describe(files: list[WebFile]) -> list[dict[str, str | int]]:
    """Path, size in bytes and SHA-256 of files, for a manifest."""
    return [{"path": file.path, "bytes": len(file.content), "sha256": file.sha256} for file in files]


def _default_id(store: ModelStore, codec: str) -> str:
    """Id of the store's model for a codec, or "" if none has it."""
    model = store.default_of(codec)
    return model.id if codec in model.codecs else ""


def _weights_of(store: ModelStore, model: Manifest, scale: int) -> bytes:
    if not _BROWSER_CODECS.intersection(model.codecs):
        raise BadModel(f"model {model.name} restores {', '.join(model.codecs)} files, which no browser decodes")
    key = f"postprocess-{scale}"
    content = store.weights(model, key)
    if model.networks[key].arguments.get("views", 1) != 1:
        raise BadModel(f"{key} of model {model.name} takes several views of a picture, which no browser runs")
    try:
        return pack_weights(content, scale)
    except BadModel as error:
        raise BadModel(f"{key} of model {model.name}: {error.detail}") from error
