"""Model store: the models on disk, their manifests, and the checksums of their weights.

    model_store/
    ├── CURRENT                  the name of the default model, one line
    └── <name>/
        ├── manifest.json        `Manifest`
        ├── *.safetensors        one file a network
        └── MODEL_CARD.md

A retired model keeps its manifest and post-processing weights, so that its streams always decode. Folders
whose name begins with a dot are ignored: write a new model into one, then rename it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import final

from virtual_codec.errors import BadModel, BadOption, ModelNotFound
from virtual_codec.manifest import EncoderParameters, Manifest, NetworkEntry, is_restoring, model_id

__all__ = [
    "EncoderParameters",
    "Manifest",
    "ModelStore",
    "NetworkEntry",
    "check_compresses",
    "default_model_store",
    "model_id",
]


def default_model_store() -> Path:
    """Model store beside the package in a checkout, or the one inside the installed wheel."""
    package = Path(__file__).resolve().parent
    candidates = (package.parents[1] / "model_store", package / "_model_store")
    return next((store for store in candidates if store.is_dir()), candidates[0])


def check_compresses(model: Manifest, codec: str, scale: int | None = None) -> None:
    """Check that a model makes streams of a codec, at a scale if one is given.

    Raises `ModelNotFound` for a retired model, and `BadOption` for a codec or scale that it lacks.
    """
    if model.retired:
        raise ModelNotFound(f"model {model.name} is retired: it restores its streams but makes no new ones")
    if codec not in model.codecs:
        raise BadOption(f"model {model.name} supports {', '.join(model.codecs)}, not {codec[:40]}")
    if scale is not None and scale not in model.scales:
        raise BadOption(f"model {model.name} works at scale {' or '.join(map(str, model.scales))} only, got {scale}")


@final
class ModelStore:
    """Models in a folder. Their manifests are read and checked once, when the store is opened.

    `default` is a name or id that stands in place of CURRENT. Raises `BadModel` when the folder, its CURRENT or any
    model in it is damaged; weights are checked when read. A `tolerant` store, for services that must
    survive a half-copied folder, ignores damaged models other than the default, and lists them in `damaged`.
    A store without any model can be opened, but has no default.
    """

    def __init__(self, root: Path, *, default: str | None = None, tolerant: bool = False) -> None:
        self.root = root
        if not root.is_dir():
            raise BadModel(f"there is no model store at {root}")
        wanted = default or _read_current(root)
        folders = [folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
        folders.sort(key=lambda folder: (folder.name != wanted, folder.name))  # of two with one id the default stays
        self._damaged: dict[str, str] = {}
        by_id: dict[str, Manifest] = {}
        for folder in folders:
            try:
                model = _read_manifest(folder)
                if other := by_id.get(model.id):
                    first, second = sorted((other.name, model.name))
                    raise BadModel(f"models {first} and {second} share the id {model.id}; an id is never reused")
            except BadModel as error:
                if not tolerant or folder.name == wanted:
                    raise
                self._damaged[folder.name] = error.detail
            else:
                by_id[model.id] = model
        self._models = sorted(by_id.values(), key=lambda model: model.name)
        self._default: Manifest | None = None
        if default is not None:
            self._default = self._usable(default)
        elif self._models:
            self._default = self._current(wanted)

    @property
    def default(self) -> Manifest:
        """Model for requests that name none. Raises `ModelNotFound` when the store is empty."""
        if self._default is None:
            raise ModelNotFound("the model store is empty")
        return self._default

    def default_of(self, codec: str) -> Manifest:
        """Model for requests that name a codec and no model: the default one, or the newest in use that has the codec.

        The default one where none has. Raises `ModelNotFound` when the store is empty.
        """
        default = self.default
        fitting = [model for model in self._models if codec in model.codecs and not model.retired]
        if codec in default.codecs or not fitting:
            return default
        return max(fitting, key=lambda model: (model.created, model.name))

    @property
    def damaged(self) -> Mapping[str, str]:
        """Reasons why a tolerant store ignored folders, by folder."""
        return self._damaged

    def models(self) -> list[Manifest]:
        """Models of the store by name, retired ones included."""
        return list(self._models)

    def get(self, name_or_id: str) -> Manifest:
        """Model of that name or id, retired or not.

        Raises `ModelNotFound` with a list of the models, `BadModel` for a damaged one that was ignored.
        """
        for model in self._models:
            if name_or_id in (model.name, model.id):
                return model
        if name_or_id in self._damaged:
            raise BadModel(self._damaged[name_or_id])
        have = ", ".join(f"{model.name} ({model.id})" for model in self._models) or "none"
        raise ModelNotFound(f"no model {name_or_id[:80]!r}; have {have}")

    def alternatives_of(self, model: Manifest) -> list[Manifest]:
        """Models that may restore a model's descriptions, at each of its scales, in the order of its manifest.

        Those that are missing, damaged, retired or unfit are passed over.
        """
        by_id = {other.id: other for other in self._models}
        listed = [by_id[name] for name in model.alternatives if name in by_id]
        return [other for other in listed if _can_restore_for(other, model)]

    def weights(self, manifest: Manifest, network: str) -> bytes:
        """Contents of the safetensors file of a network, such as `postprocess-2`.

        Raises `BadModel` when the model has no such network, or the file is missing or its checksum is wrong.
        """
        entry = manifest.networks.get(network)
        if entry is None:
            have = ", ".join(sorted(manifest.networks))
            raise BadModel(f"model {manifest.name} has no network {network!r}; have {have}")
        try:
            weights = (self.root / manifest.name / entry.file).read_bytes()
        except OSError as error:
            raise BadModel(f"model {manifest.name}: {entry.file} cannot be read") from error
        if hashlib.sha256(weights).hexdigest() != entry.sha256:
            raise BadModel(f"model {manifest.name}: {entry.file} is not what its manifest says; fetch it again")
        return weights

    def size_bytes(self, manifest: Manifest) -> int:
        """Size on disk of the weights that a model needs, in bytes. Raises `BadModel` when one of its files is missing.

        These are its own networks, and the post-processing networks of its alternatives.
        """
        own = [self.root / manifest.name / entry.file for entry in manifest.networks.values()]
        others = [
            self.root / other.name / entry.file
            for other in self.alternatives_of(manifest)
            for key, entry in other.networks.items()
            if is_restoring(key)
        ]
        try:
            return sum(file.stat().st_size for file in {*own, *(file for file in others if file.is_file())})
        except OSError as error:
            raise BadModel(f"model {manifest.name}: its weights cannot be read") from error

    def _usable(self, name_or_id: str) -> Manifest:
        model = self.get(name_or_id)
        if model.retired:
            raise ModelNotFound(f"model {model.name} is retired: it restores its streams but makes no new ones")
        return model

    def _current(self, name: str | None) -> Manifest:
        if name is None:
            raise BadModel("the model store has no readable CURRENT that names the default model")
        for model in self._models:
            if model.name == name and not model.retired:
                return model
        have = ", ".join(model.name for model in self._models if not model.retired) or "none"
        raise BadModel(f"CURRENT names {name[:80]!r}, which is no model in use; have {have}")


def _can_restore_for(alternative: Manifest, model: Manifest) -> bool:
    has_scales_and_codecs = {*model.scales} <= {*alternative.scales} and {*model.codecs} <= {*alternative.codecs}
    return has_scales_and_codecs and not alternative.retired


def _read_current(root: Path) -> str | None:
    try:
        return (root / "CURRENT").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _read_manifest(folder: Path) -> Manifest:
    try:
        text = (folder / "manifest.json").read_bytes()
    except OSError as error:
        raise BadModel(f"model folder {folder.name} has no readable manifest.json") from error
    try:
        manifest = Manifest.from_json(text)
    except ValueError as error:
        raise BadModel(f"model {folder.name}: manifest.json: {error}") from error
    if manifest.name != folder.name:
        raise BadModel(f"model folder {folder.name} holds the manifest of {manifest.name}")
    for key, entry in manifest.networks.items():
        is_needed = is_restoring(key) or not manifest.retired
        if is_needed and not (folder / entry.file).is_file():
            raise BadModel(f"model {manifest.name} lacks {entry.file}, the weights of {key}")
    return manifest
