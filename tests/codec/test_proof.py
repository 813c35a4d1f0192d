"""A model is asked what it can before anybody is served by it."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.codec.model import LoadedModel
from virtual_codec.codec.proof import TABLE, expected, golden_picture, measure, prove
from virtual_codec.errors import BadModel, ModelNotFound
from virtual_codec.jobs import CompressOptions, RestoreOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.settings import default_model_store
from virtual_codec.store import Manifest, ModelStore

PICTURE = scene(40, 56)


def promising(store: ModelStore, table: list[float]) -> LoadedModel:
    """The default model of a store with another table in its manifest."""
    manifest = store.default.model_copy(update={"tables": {**store.default.tables, TABLE: table}})
    return LoadedModel(store, manifest, DirectRunner())


def test_the_golden_picture_is_colourful_and_always_the_same() -> None:
    picture = golden_picture()
    assert picture.shape == (96, 128, 3)
    assert picture.std(axis=(0, 1)).min() > 25
    assert int(picture.astype(np.int64).sum()) == pytest.approx(4_700_000, rel=0.1)
    assert np.array_equal(picture, golden_picture())


def test_a_model_that_does_as_it_did_is_proven(store: ModelStore) -> None:
    model = LoadedModel(store, store.default, DirectRunner())
    assert list(measure(model)) == ["2-420", "1-420", "1-444"]
    prove(model)
    prove(promising(store, expected(model)))


def test_a_model_that_does_worse_than_it_did_is_refused(store: ModelStore) -> None:
    promised = expected(LoadedModel(store, store.default, DirectRunner()))
    promised[1] += 1
    with pytest.raises(BadModel, match=r"model tiny: its golden picture comes back with .* dB in mode 1-420, and"):
        prove(promising(store, promised))


def test_a_table_of_the_wrong_length_is_refused(store: ModelStore) -> None:
    with pytest.raises(BadModel, match="'golden' must have 3 numbers"):
        prove(promising(store, [20.0]))


def test_weights_that_ruin_every_picture_are_refused(tmp_path: Path) -> None:
    make_store(tmp_path, strength=0.5)
    with pytest.raises(BadModel, match="golden picture"):
        open_codec(tmp_path)


def test_the_released_model_keeps_its_promise() -> None:
    store = ModelStore(default_model_store())
    assert TABLE in store.default.tables
    prove(LoadedModel(store, store.default, DirectRunner()))


def in_memory() -> set[LoadedModel]:
    """All models that anything in this process holds."""
    gc.collect()
    return {it for it in gc.get_objects() if type(it) is LoadedModel}


def test_another_model_is_loaded_beside_and_becomes_the_default(tmp_path: Path) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    old = codec.compress(saved(PICTURE))
    second = make_store(tmp_path, name="second", seed=1).default
    codec.load("second")
    assert codec.compress(saved(PICTURE)).model == second.id
    assert codec.compress(saved(PICTURE), CompressOptions(model=first.id)).stream == old.stream
    assert codec.restore(old.stream).model == first.id
    assert codec.restore(saved(PICTURE, "JPEG")).model == second.id
    assert codec.restore(saved(PICTURE, "JPEG"), RestoreOptions(model="first")).model == first.id


@pytest.mark.parametrize("damage", ["weights", "missing", "unknown", "ruinous"])
def test_what_cannot_be_loaded_changes_nothing(tmp_path: Path, damage: str) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    make_store(tmp_path, name="second", seed=1, strength=0.5 if damage == "ruinous" else 0.02)
    file = tmp_path / "second" / "postprocess-1.safetensors"
    if damage == "weights":
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    if damage == "missing":
        file.unlink()
    with pytest.raises(ModelNotFound if damage == "unknown" else BadModel):
        codec.load("third" if damage == "unknown" else "second")
    assert codec.compress(saved(PICTURE)).model == first.id


def test_an_unloaded_model_comes_back_when_a_stream_asks_for_it(tmp_path: Path) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    stream = codec.compress(saved(PICTURE)).stream
    before = opened(codec.restore(stream).image)
    make_store(tmp_path, name="second", seed=1)
    codec.load("second")
    codec.unload(first.id)
    assert np.array_equal(opened(codec.restore(stream).image), before)


def test_unloading_what_was_just_loaded_leaves_everything_as_it_was(tmp_path: Path) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    second = make_store(tmp_path, name="second", seed=1).default
    others = in_memory()
    codec.load("second")
    assert {model.manifest.id for model in in_memory() - others} == {second.id}
    codec.unload(second.id)
    assert codec.compress(saved(PICTURE)).model == first.id
    assert in_memory() == others


def test_the_default_is_never_unloaded_and_a_vanished_model_serves_until_it_is(tmp_path: Path) -> None:
    store = make_store(tmp_path, name="first")
    codec = VirtualCodec(store, DirectRunner())
    codec.warm()
    make_store(tmp_path, name="second", seed=1)
    (tmp_path / "first").rename(tmp_path / ".first")
    codec.load("second")
    options = CompressOptions(model=store.default.id)
    assert codec.compress(saved(PICTURE), options).model == store.default.id
    codec.unload(store.default.id)
    with pytest.raises(ModelNotFound):
        codec.compress(saved(PICTURE), options)
    codec.unload(ModelStore(tmp_path).default.id)
    (tmp_path / "second").rename(tmp_path / ".second")
    assert codec.compress(saved(PICTURE)).model != store.default.id


def test_one_that_was_changed_under_its_id_is_loaded_anew(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    codec = open_codec(tmp_path)
    before = codec.compress(saved(PICTURE), CompressOptions(quality=50)).stream
    tables = dict(store.default.tables)
    tables |= {key: [2 * step for step in tables[key]] for key in tables if key.startswith("step-")}
    changed: Manifest = store.default.model_copy(update={"tables": tables})
    (tmp_path / "tiny" / "manifest.json").write_text(changed.model_dump_json())
    codec.load("tiny")
    assert codec.compress(saved(PICTURE), CompressOptions(quality=50)).stream != before
