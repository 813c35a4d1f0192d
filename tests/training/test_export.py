from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models import made_up_tables, make_store
from tests.pictures import opened, saved, scene
from virtual_codec import bitstream
from virtual_codec.cli import main
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.codec.operating import OperatingTable
from virtual_codec.errors import BadModel, BadOption
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import Manifest, ModelStore
from virtual_codec.training import RunOptions, TrainRequest, train
from virtual_codec.training.export import ExportRequest, _model_card_text, export
from virtual_codec.training.recipes import RECIPES


@pytest.mark.slow
def test_an_exported_model_can_be_served(photographs: Path, tmp_path: Path) -> None:
    runs = (tmp_path / "one", tmp_path / "two")
    for run, recipe in zip(runs, ("postprocess-1", "postprocess-2"), strict=True):
        options = RunOptions(out=run, show_progress=False)
        train(TrainRequest(recipe=recipe, data=photographs, run=options, steps=1))
    request = ExportRequest(
        runs=runs, data=photographs, store=tmp_path / "store", name="first", show_progress=False, notes="Of nothing."
    )
    manifest = export(request)
    assert set(manifest.networks) == {"postprocess-1", "postprocess-2"}
    multipliers = [OperatingTable(manifest.tables).multiplier(quality) for quality in range(1, 101)]
    assert multipliers == sorted(multipliers, reverse=True)
    store = ModelStore(tmp_path / "store")
    assert store.default == manifest
    assert not list((tmp_path / "store").glob(".*"))
    codec = open_codec(tmp_path / "store")
    result = codec.compress(saved(scene(70, 60)), CompressOptions(quality=30))
    assert opened(codec.restore(result.stream).image).shape == (70, 60, 3)
    with pytest.raises(BadOption, match="exists already"):
        export(request)


def write_weights_folder(folder: Path, store: ModelStore) -> None:
    model = store.default
    networks = {
        key: {"architecture": entry.architecture, "arguments": entry.arguments, "file": entry.file}
        for key, entry in model.networks.items()
    }
    folder.mkdir()
    for key, entry in model.networks.items():
        (folder / entry.file).write_bytes(store.weights(model, key))
    (folder / "networks.json").write_text(json.dumps({"encoder": {"chroma_dc": 0.7}, "networks": networks}))


def test_a_weights_folder_becomes_a_model_with_its_encoder_parameters(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtual_codec.training.export.calibrate", lambda *_arguments, **_options: made_up_tables())
    trained = make_store(tmp_path / "trained", u_shaped=True)
    write_weights_folder(tmp_path / "weights", trained)
    manifest = export(
        ExportRequest(
            runs=(tmp_path / "weights",), data=photographs, store=tmp_path / "store", name="first", show_progress=False
        )
    )
    store = ModelStore(tmp_path / "store")
    assert manifest.encoder.chroma_dc == 0.7
    assert manifest.networks["postprocess-1"].arguments == trained.default.networks["postprocess-1"].arguments
    assert (tmp_path / "store" / "first" / "MODEL_CARD.md").read_text().count("u-shaped-postprocess") == 2
    stream = open_codec(tmp_path / "store").compress(saved(scene(70, 60)), CompressOptions(quality=30)).stream
    plain = VirtualCodec(trained, DirectRunner()).compress(saved(scene(70, 60)), CompressOptions(quality=30)).stream
    finer, coarser = (bitstream.layout(it).tables[1][0, 0] for it in (stream, plain))
    assert finer < coarser
    assert store.default == manifest


@pytest.fixture
def store(tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store with a default model, and beside it `weights` that can be exported without the time of a calibration."""
    monkeypatch.setattr("virtual_codec.training.export.calibrate", lambda *_arguments, **_options: made_up_tables())
    write_weights_folder(tmp_path / "weights", make_store(tmp_path / "trained", u_shaped=True))
    return make_store(tmp_path / "store").root


def exported(store: Path, photographs: Path, *options: str) -> Manifest:
    line = ["export", str(store.parent / "weights"), "--name", "second", "--data", str(photographs), "--quiet"]
    assert main([*line, "--model-store", str(store), "--device", "cpu", *options]) == 0
    return ModelStore(store).get("second")


def test_licences_that_are_given_stand_in_manifest_and_card(
    store: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--licence", "CC-BY-4.0", "--data-licence", "CC0", "--data-licence", "Unsplash")
    manifest = exported(store, photographs, *options)
    assert (manifest.licence, manifest.data_licences) == ("CC-BY-4.0", ["CC0", "Unsplash"])
    card = (store / "second" / "MODEL_CARD.md").read_text()
    assert "The weights are under CC-BY-4.0. Licences of the pictures that the networks were trained on: CC0," in card
    assert capsys.readouterr().err == ""


def test_a_model_without_licences_says_so(store: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = exported(store, photographs)
    assert (manifest.licence, manifest.data_licences) == ("", [])
    assert "No licence of the weights is stated." in (store / "second" / "MODEL_CARD.md").read_text()
    assert "--licence and --data-licence" in capsys.readouterr().err


def test_the_default_model_changes_only_when_asked(
    store: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ModelStore(store).default
    exported(store, photographs)
    assert ModelStore(store).default == before
    out = capsys.readouterr().out
    assert out.startswith(f"{store / 'second'}: model second (")
    assert f"the default model of {store} is still {before.name}" in out
    (store / "second").rename(store.parent / "away")
    manifest = exported(store, photographs, "--make-default")
    assert ModelStore(store).default == manifest
    assert f"is the default model of {store}" in capsys.readouterr().out


def with_arguments(arguments: dict[str, int], file: str) -> str:
    source = {"architecture": "postprocess", "arguments": arguments, "file": file}
    return json.dumps({"networks": {"postprocess-1": source}})


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "networks.json"),
        ('{"networks": {}}', "networks: "),
        ('{"networks": {"postprocess-1": {"architecture": "postprocess"}}}', "postprocess-1"),
        (
            with_arguments({"scale": 1, "channels": 4, "blocks": 1}, "postprocess-1.safetensors"),
            "do not fit postprocess",
        ),
        (with_arguments({"scale": 1, "channels": 8, "blocks": 1}, "lacking.safetensors"), "cannot be read"),
    ],
)
def test_a_wrong_weights_folder_is_a_bad_model(tmp_path: Path, photographs: Path, index: str, message: str) -> None:
    write_weights_folder(tmp_path / "weights", make_store(tmp_path / "trained"))
    (tmp_path / "weights" / "networks.json").write_text(index)
    request = ExportRequest(
        runs=(tmp_path / "weights",), data=photographs, store=tmp_path / "store", name="first", show_progress=False
    )
    with pytest.raises(BadModel, match=message):
        export(request)
    assert not list((tmp_path / "store").iterdir())


def test_a_card_gives_each_recipe_a_paragraph(tmp_path: Path) -> None:
    request = ExportRequest(runs=(), data=tmp_path, store=tmp_path, name="first")
    card = _model_card_text(request, make_store(tmp_path).default, [RECIPES["joint-1"](), RECIPES["smoke"]()])
    recipes = card.partition("## Recipes\n\n")[2].splitlines()
    assert [line.partition(",")[0] for line in recipes] == ["- `joint-1`", "- `smoke`"]
    assert "start it from a finished `softer-1`. Every fourth batch" in recipes[0]


def test_an_export_without_a_checkpoint_leaves_no_folder(photographs: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(BadModel, match="not a checkpoint"):
        export(ExportRequest(runs=(tmp_path,), data=photographs, store=store, name="first", show_progress=False))
    assert not list(store.iterdir())


@pytest.mark.parametrize(("recipe", "missing"), [("postprocess-1", 2), ("postprocess-2", 1)])
def test_runs_of_one_scale_are_refused_with_what_to_add(
    photographs: Path, tmp_path: Path, recipe: str, missing: int
) -> None:
    train(
        TrainRequest(
            recipe=recipe, data=photographs, steps=1, run=RunOptions(out=tmp_path / "run", show_progress=False)
        )
    )
    store = tmp_path / "store"
    request = ExportRequest(runs=(tmp_path / "run",), data=photographs, store=store, name="half", show_progress=False)
    with pytest.raises(BadOption, match=f"add a run of scale {missing}"):
        export(request)
    assert not list(store.iterdir())
