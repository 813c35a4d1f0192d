"""Memory and warming of the models that restore for another one."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.codec.test_restorer_choice import drawing
from tests.models import list_alternatives, make_store
from tests.pictures import saved
from virtual_codec.codec import VirtualCodec
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner, Network
from virtual_codec.store import Manifest, ModelStore


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Model and network of each loading."""
    loaded = []
    prepare = DirectRunner.prepare

    def prepare_and_note(runner: DirectRunner, store: ModelStore, manifest: Manifest, key: str) -> Network:
        loaded.append((manifest.name, key))
        return prepare(runner, store, manifest, key)

    monkeypatch.setattr(DirectRunner, "prepare", prepare_and_note)
    return loaded


def make_models(root: Path, *names: str) -> None:
    """Write a model of each name, which has the model `drawings` as an alternative. The last one is the default."""
    drawings = make_store(root, name="drawings", full_size=True).default.id
    for seed, name in enumerate(names, start=1):
        list_alternatives(make_store(root, name=name, seed=seed, full_size=True), [drawings, "00000000"])


def warm_codec(root: Path) -> VirtualCodec:
    codec = VirtualCodec(ModelStore(root, tolerant=True), DirectRunner())
    codec.warm()
    return codec


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> weakref.WeakSet[ModelNetworks]:
    """Models that the test made and something still holds."""
    models: weakref.WeakSet[ModelNetworks] = weakref.WeakSet()
    initialise = ModelNetworks.__init__

    def initialise_and_note(model: ModelNetworks, *args: Any, **kwargs: Any) -> None:
        initialise(model, *args, **kwargs)
        models.add(model)

    monkeypatch.setattr(ModelNetworks, "__init__", initialise_and_note)
    return models


def names_of(models: weakref.WeakSet[ModelNetworks]) -> set[str]:
    gc.collect()
    return {model.manifest.name for model in models}


def test_the_first_drawing_loads_nothing(tmp_path: Path, prepared: list[tuple[str, str]]) -> None:
    make_models(tmp_path, "first")
    codec = warm_codec(tmp_path)
    assert [key for name, key in prepared if name == "drawings"] == ["postprocess-1", "postprocess-2"]
    prepared.clear()
    codec.compress(saved(drawing()), CompressOptions(quality=30))
    assert prepared == []


def test_a_switch_warms_the_alternatives_of_the_new_model(tmp_path: Path, prepared: list[tuple[str, str]]) -> None:
    make_store(tmp_path, name="plain", full_size=True, seed=9)
    codec = warm_codec(tmp_path)
    make_models(tmp_path, "first")
    codec.warm_model("first")
    prepared.clear()
    codec.compress(saved(drawing()), CompressOptions(quality=30, model="first"))
    assert prepared == []


@pytest.mark.parametrize("file", ["manifest.json", "postprocess-2.safetensors"])
def test_a_damaged_alternative_keeps_no_model_from_being_ready(
    tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_models(tmp_path, "first", "second")
    (tmp_path / "drawings" / file).write_bytes(b"damaged")
    codec = warm_codec(tmp_path)
    assert ("alternative_refused" in caplog.text) == (file != "manifest.json")
    codec.warm_model("first")
    first = ModelStore(tmp_path, tolerant=True).get("first").id
    assert codec.compress(saved(drawing()), CompressOptions(quality=30, scale=2, model=first)).model == first


def test_an_alternative_with_one_damaged_network_restores_at_no_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_models(tmp_path, "first")
    restore = ModelNetworks.restore

    def restore_as_trained(
        model: ModelNetworks, decoded: NDArray[np.uint8], scale: int, vector: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        restored = restore(model, decoded, scale, vector)
        return drawing() if model.manifest.name == "drawings" else restored

    monkeypatch.setattr(ModelNetworks, "restore", restore_as_trained)
    options = CompressOptions(quality=30, scale=1)
    made = [VirtualCodec(ModelStore(tmp_path), DirectRunner()).compress(saved(drawing()), options).model]
    (tmp_path / "drawings" / "postprocess-2.safetensors").write_bytes(b"damaged")
    made += [VirtualCodec(ModelStore(tmp_path), DirectRunner()).compress(saved(drawing()), options).model]
    assert made == [ModelStore(tmp_path).get(name).id for name in ("drawings", "first")]


def test_alternatives_are_freed_with_the_model_that_they_restore_for(
    tmp_path: Path, made: weakref.WeakSet[ModelNetworks]
) -> None:
    make_store(tmp_path, name="plain", full_size=True, seed=9)
    make_models(tmp_path, "first")
    codec = warm_codec(tmp_path)
    assert names_of(made) == {"first", "drawings"}
    codec.warm_model("plain")
    codec.forget_model(ModelStore(tmp_path).get("first").id)
    assert names_of(made) == {"plain"}


@pytest.mark.parametrize("default", ["second", "drawings"])
def test_alternatives_stay_while_a_default_needs_them(
    tmp_path: Path, made: weakref.WeakSet[ModelNetworks], default: str
) -> None:
    make_models(tmp_path, "second", "first")
    codec = warm_codec(tmp_path)
    codec.warm_model(default)
    codec.forget_model(ModelStore(tmp_path).get("first").id)
    assert names_of(made) == {default, "drawings"}


def test_a_model_stays_while_it_restores_for_the_default(tmp_path: Path, made: weakref.WeakSet[ModelNetworks]) -> None:
    make_models(tmp_path, "first")
    drawings = ModelStore(tmp_path).get("drawings").id
    (tmp_path / "CURRENT").write_text("drawings\n")
    codec = warm_codec(tmp_path)
    codec.warm_model("first")
    codec.forget_model(drawings)
    assert names_of(made) == {"first", "drawings"}
    codec.forget_model(ModelStore(tmp_path).get("first").id)
    assert names_of(made) == set()
