"""A model is asked what it can before anybody is served by it."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.self_check import TABLE, check_model, expected_psnr_db, golden_picture, measure
from virtual_codec.errors import BadModel, ModelNotFound
from virtual_codec.jobs import CompressOptions, RestoreOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

PICTURE = scene(40, 56)


def promising(store: ModelStore, table: list[float]) -> ModelNetworks:
    """The default model of a store with another table in its manifest."""
    manifest = replace(store.default, tables={**store.default.tables, TABLE: table})
    return ModelNetworks(store, manifest, DirectRunner())


def test_the_golden_picture_is_colourful_and_always_the_same() -> None:
    picture = golden_picture()
    assert picture.shape == (96, 128, 3)
    assert picture.std(axis=(0, 1)).min() > 25
    assert int(picture.astype(np.int64).sum()) == pytest.approx(4_700_000, rel=0.1)
    assert np.array_equal(picture, golden_picture())


def test_a_model_that_does_as_it_did_is_proven(store: ModelStore) -> None:
    model = ModelNetworks(store, store.default, DirectRunner())
    assert list(measure(model)) == ["2-420", "1-420", "1-444"]
    check_model(model)
    check_model(promising(store, expected_psnr_db(model)))


def test_a_model_that_does_worse_than_it_did_is_refused(store: ModelStore) -> None:
    promised = expected_psnr_db(ModelNetworks(store, store.default, DirectRunner()))
    promised[1] += 1
    with pytest.raises(BadModel, match=r"model tiny: its golden picture is restored with .* dB in mode 1-420, but"):
        check_model(promising(store, promised))


def test_a_table_of_the_wrong_length_is_refused(store: ModelStore) -> None:
    with pytest.raises(BadModel, match="'golden' must have 3 numbers"):
        check_model(promising(store, [20.0]))


def test_weights_that_ruin_every_picture_are_refused(tmp_path: Path) -> None:
    make_store(tmp_path, strength=0.5)
    with pytest.raises(BadModel, match="golden picture"):
        open_codec(tmp_path)


def test_the_released_model_keeps_its_promise() -> None:
    store = ModelStore(default_model_store())
    assert TABLE in store.default.tables
    check_model(ModelNetworks(store, store.default, DirectRunner()))


def in_memory() -> set[ModelNetworks]:
    """All models that anything in this process holds."""
    gc.collect()
    return {it for it in gc.get_objects() if type(it) is ModelNetworks}


def test_another_model_is_warmed_beside_the_default(tmp_path: Path) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    old = codec.compress(saved(PICTURE))
    second = make_store(tmp_path, name="second", seed=1).default
    codec.warm_model("second")
    assert codec.compress(saved(PICTURE)).stream == old.stream
    assert codec.compress(saved(PICTURE), CompressOptions(model=second.id)).model == second.id
    assert codec.restore(old.stream).model == first.id
    assert codec.restore(saved(PICTURE, "JPEG")).model == first.id
    assert codec.restore(saved(PICTURE, "JPEG"), RestoreOptions(model="second")).model == second.id


@pytest.mark.parametrize("damage", ["weights", "missing", "unknown", "ruinous"])
def test_a_model_that_cannot_be_loaded_changes_nothing(tmp_path: Path, damage: str) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    make_store(tmp_path, name="second", seed=1, strength=0.5 if damage == "ruinous" else 0.02)
    file = tmp_path / "second" / "postprocess-1.safetensors"
    if damage == "weights":
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    if damage == "missing":
        file.unlink()
    with pytest.raises(ModelNotFound if damage == "unknown" else BadModel):
        codec.warm_model("third" if damage == "unknown" else "second")
    assert codec.compress(saved(PICTURE)).model == first.id


def test_a_forgotten_model_is_loaded_again_when_a_stream_names_it(tmp_path: Path) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    stream = codec.compress(saved(PICTURE)).stream
    before = opened(codec.restore(stream).image)
    make_store(tmp_path, name="second", seed=1)
    codec.warm_model("second")
    codec.forget_model(first.id)
    assert np.array_equal(opened(codec.restore(stream).image), before)


def test_a_forgotten_model_frees_its_memory(tmp_path: Path) -> None:
    first = make_store(tmp_path, name="first").default
    codec = open_codec(tmp_path)
    second = make_store(tmp_path, name="second", seed=1).default
    others = in_memory()
    codec.warm_model("second")
    assert {model.manifest.id for model in in_memory() - others} == {second.id}
    codec.forget_model(second.id)
    assert codec.compress(saved(PICTURE)).model == first.id
    assert in_memory() == others


def test_a_model_whose_folder_has_gone_serves_until_it_is_forgotten(tmp_path: Path) -> None:
    store = make_store(tmp_path, name="first")
    codec = VirtualCodec(store, DirectRunner())
    codec.warm()
    make_store(tmp_path, name="second", seed=1)
    (tmp_path / "first").rename(tmp_path / ".first")
    codec.warm_model("second")
    options = CompressOptions(model=store.default.id)
    assert codec.compress(saved(PICTURE), options).model == store.default.id
    codec.forget_model(store.default.id)
    with pytest.raises(ModelNotFound):
        codec.compress(saved(PICTURE), options)


def test_one_that_was_changed_under_its_id_is_loaded_anew(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    codec = open_codec(tmp_path)
    before = codec.compress(saved(PICTURE), CompressOptions(quality=50)).stream
    tables = dict(store.default.tables)
    tables |= {key: [2 * step for step in tables[key]] for key in tables if key.startswith("step-")}
    changed = replace(store.default, tables=tables)
    (tmp_path / "tiny" / "manifest.json").write_text(changed.to_json())
    codec.warm_model("tiny")
    assert codec.compress(saved(PICTURE), CompressOptions(quality=50)).stream != before
