"""Training of post-processing for AVIF, WebP and JPEG 2000, from a JPEG model's weights to a model of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import features

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.codec import VirtualCodec
from virtual_codec.errors import BadModel, BadOption
from virtual_codec.jobs import CompressOptions
from virtual_codec.networks import build
from virtual_codec.networks.condition import CODEC_CONDITION_SIZE, CONDITION_SIZE, codec_condition, condition
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore
from virtual_codec.training import RunOptions, TrainRequest, calibration_of_levels, train
from virtual_codec.training.codec_recipes import codecs_1
from virtual_codec.training.codecs import CodecsValidation, codecs_batches
from virtual_codec.training.config import TrainConfig, UShape
from virtual_codec.training.data import Pictures
from virtual_codec.training.export import ExportRequest, export
from virtual_codec.training.loop import load_matching_weights
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.weights import load_model_network

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def small(**changes: object) -> TrainConfig:
    shape = UShape(widths="8-12-16", down="1-1-1", up="1-1")
    changes = {"crop": 64, "batch": 4, "steps": 6, "validate_every": 6, "u_shape": shape} | changes
    return replace(codecs_1(), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run."""
    out = tmp_path_factory.mktemp("run") / "out"
    model = tmp_path_factory.mktemp("store")
    make_store(model, u_shaped=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "codecs-1", small)
        options = RunOptions(out=out, show_progress=False, threads=1, bfloat16=False)
        report = train(TrainRequest(recipe="codecs-1", data=photographs, run=options, start_from=model / "tiny"))
    assert report.step == 6
    return out


def test_batches_hold_every_codec_and_depend_on_seed_and_step_alone(photographs: Path) -> None:
    pictures, config = Pictures(photographs, smallest=64), small(batch=24)
    first, again = (next(codecs_batches(pictures, config, 3, 2)) for _ in range(2))
    assert torch.equal(first.decoded, again.decoded)
    assert first.condition.shape == (24, CODEC_CONDITION_SIZE)
    codecs = first.condition[:, CONDITION_SIZE : CONDITION_SIZE + 3]
    assert (codecs.sum(dim=1) == 1).all()
    assert (codecs.sum(dim=0) > 0).all()
    assert 0 < float((first.decoded - first.image).square().mean()) < 0.02


def test_a_longer_condition_begins_without_a_say(tmp_path: Path) -> None:
    make_store(tmp_path, u_shaped=True)
    weights = load_model_network(tmp_path / "tiny", "postprocess-1")
    network = build(*small().postprocess_network)
    load_matching_weights(network, weights)
    picture, start = torch.rand(1, 3, 16, 24), torch.rand(1, CONDITION_SIZE)
    one, other = (torch.cat([start, torch.rand(1, 4)], dim=1) for _ in range(2))
    assert torch.equal(network(picture, one), network(picture, other))
    assert not torch.equal(network(picture, one), picture)
    with pytest.raises(BadModel, match="has no network 'postprocess-3'"):
        load_model_network(tmp_path / "tiny", "postprocess-3")


def test_steps_that_are_flat_tables_are_told_as_jpegs_are() -> None:
    table = np.full((8, 8), 20, np.uint16)
    jpeg = condition([table] * 3, subsampled=True, own=False)
    avif = codec_condition("avif", luma=(20, 20), chroma=(20, 20), subsampled=True, grey=False)
    assert np.allclose(avif[:CONDITION_SIZE], jpeg)
    assert avif[CONDITION_SIZE:].tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="codec must be one of"):
        codec_condition("heic", luma=(1, 1), chroma=(1, 1), subsampled=True, grey=False)


def test_validation_scores_all_codecs(photographs: Path) -> None:
    config = small()
    validation = CodecsValidation(Pictures(photographs, smallest=64), config, "cpu", most=1, bfloat16=False)
    with torch.no_grad():
        figures = validation(build(*config.postprocess_network))
    assert {name.split("_")[1] for name in figures} == {"avif", "webp", "jpeg2000"}
    assert validation.score_db(figures) == pytest.approx(0, abs=1e-4)  # it begins as the plain filter


def test_a_run_becomes_a_model_beside_the_default(
    run: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "codecs-1", small)
    monkeypatch.setattr(calibration_of_levels, "_LEVELS", (0, 50, 100))
    monkeypatch.setattr(calibration_of_levels, "_QUALITIES", (1, 50, 100))
    make_store(tmp_path)
    manifest = export(ExportRequest(runs=(run,), data=photographs, store=tmp_path, name="others", show_progress=False))
    assert manifest.codecs == ["avif", "webp", "jpeg2000"]
    assert manifest.scales == [1]
    for name in ("level-avif", "level-webp"):
        assert list(manifest.tables[name]) == sorted(manifest.tables[name])
    store = ModelStore(tmp_path)
    assert (store.default.name, store.default_of("avif").name) == ("tiny", "others")
    codec = VirtualCodec(store, DirectRunner())
    image = scene(48, 64)
    for name in manifest.codecs:
        stream = codec.compress(saved(image), CompressOptions(codec=name, effort=0)).stream
        assert opened(codec.restore(stream).image).shape == image.shape
    codec.warm_model("others")
    with pytest.raises(BadOption, match="without other runs"):
        export(ExportRequest(runs=(run, run), data=photographs, store=tmp_path, name="twice", show_progress=False))
