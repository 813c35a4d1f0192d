from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.codec import VirtualCodec
from virtual_codec.codec.loaded_models import LoadedModels
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.restorer_choice import flat_share
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import Manifest, ModelStore, model_id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """Store of a default model that restores badly, and its alternative that changes hardly anything."""
    root = tmp_path_factory.mktemp("store")
    alternative = make_store(root, name="drawings", strength=1e-6, seed=1, full_size=True).default
    default = make_store(root, name="photographs", strength=0.01, seed=2, full_size=True).default
    _write(root, replace(default, alternatives=[alternative.id, "00000000"]))  # the second one is not in the store
    return ModelStore(root)


def _write(root: Path, manifest: Manifest) -> None:
    (root / manifest.name / "manifest.json").write_text(manifest.to_json())


def drawing() -> NDArray[np.uint8]:
    picture = np.full((96, 128, 3), 240, np.uint8)
    picture[10:40, 20:90] = (30, 60, 120)
    picture[50:80, 5:60] = (200, 30, 30)
    return picture


@pytest.mark.parametrize("options", [{"quality": 30}, {"max_bpp": 1.0}, {"min_psnr": 28.0}])
def test_the_stream_of_a_drawing_names_the_model_that_restores_it_best(
    store: ModelStore, options: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = ModelNetworks.restore

    def restore_as_trained(
        model: ModelNetworks, decoded: NDArray[np.uint8], scale: int, vector: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Restore exactly by the model for drawings, as untrained by the other one."""
        return drawing() if model.manifest.name == "drawings" else restore(model, decoded, scale, vector)

    monkeypatch.setattr(ModelNetworks, "restore", restore_as_trained)
    codec = VirtualCodec(store, DirectRunner())
    result = codec.compress(saved(drawing()), CompressOptions(**options))  # type: ignore[arg-type]
    assert result.model == store.get("drawings").id
    restored = codec.restore(result.stream)
    assert restored.model == result.model
    assert (opened(restored.image) == drawing()).all()


def test_a_photograph_is_restored_by_the_model_that_describes_it(store: ModelStore) -> None:
    result = VirtualCodec(store, DirectRunner()).compress(saved(scene(96, 128)), CompressOptions(quality=30))
    assert result.model == store.default.id


def test_a_named_model_without_alternatives_restores_everything(store: ModelStore) -> None:
    codec = VirtualCodec(store, DirectRunner())
    assert codec.compress(saved(drawing()), CompressOptions(model="drawings")).model == store.get("drawings").id


def _without_half_size(manifest: Manifest) -> Manifest:
    networks = {key: entry for key, entry in manifest.networks.items() if key != "postprocess-2"}
    return replace(manifest, networks=networks, id=model_id(networks))


@pytest.mark.parametrize(
    "change",
    [
        _without_half_size,
        lambda manifest: replace(manifest, retired=True),
        lambda manifest: replace(manifest, codecs=["webp"]),
    ],
    ids=["a scale is missing", "retired", "another codec"],
)
def test_models_that_cannot_restore_for_the_model_are_no_alternatives(
    tmp_path: Path, change: Callable[[Manifest], Manifest]
) -> None:
    alternative = change(make_store(tmp_path, name="drawings", seed=1, full_size=True).default)
    _write(tmp_path, alternative)
    default = make_store(tmp_path, name="photographs", seed=2, full_size=True).default
    _write(tmp_path, replace(default, alternatives=[alternative.id]))
    models = LoadedModels(ModelStore(tmp_path), DirectRunner())
    assert models.alternatives_of(models.default()) == []


@pytest.mark.parametrize("file", ["manifest.json", "postprocess-1.safetensors"])
def test_a_damaged_alternative_is_passed_over(tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture) -> None:
    alternative = make_store(tmp_path, name="drawings", seed=1, full_size=True).default
    default = make_store(tmp_path, name="photographs", seed=2, full_size=True).default
    _write(tmp_path, replace(default, alternatives=[alternative.id]))
    (tmp_path / "drawings" / file).write_bytes(b"damaged")
    codec = VirtualCodec(ModelStore(tmp_path, tolerant=True), DirectRunner())
    assert codec.compress(saved(drawing()), CompressOptions(quality=30, scale=1)).model == default.id
    assert ("alternative_refused" in caplog.text) == (file != "manifest.json")


def test_flat_share() -> None:
    assert flat_share(np.zeros((300, 7, 3), np.uint8)) == 1.0
    assert flat_share(np.zeros((1, 9), np.uint8)) == 0.0
    ramp = np.arange(100, dtype=np.uint8)[None].repeat(300, axis=0)
    assert flat_share(ramp) == 0.0
    half = np.concatenate([ramp, np.full((300, 101), 99, np.uint8)], axis=1)
    assert flat_share(half) == pytest.approx(0.5, abs=0.01)
    assert flat_share(scene(96, 128)) < 0.35 < flat_share(drawing())


def test_a_manifest_keeps_its_alternatives_and_refuses_names(store: ModelStore) -> None:
    default = store.default
    assert Manifest.from_json(default.to_json()).alternatives == default.alternatives
    with pytest.raises(ValueError, match="alternatives: must be model ids"):
        replace(default, alternatives=["drawings"])
