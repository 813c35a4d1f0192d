from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.codec import open_codec
from virtual_codec.codec.operating import OperatingTable
from virtual_codec.errors import BadModel, BadOption
from virtual_codec.jobs import CompressOptions
from virtual_codec.store import ModelStore
from virtual_codec.training import RunOptions, TrainRequest, train
from virtual_codec.training.export import ExportRequest, _card, export
from virtual_codec.training.recipes import RECIPES


@pytest.mark.slow
def test_what_is_exported_can_be_served(photographs: Path, tmp_path: Path) -> None:
    runs = (tmp_path / "one", tmp_path / "two")
    for run, recipe in zip(runs, ("postprocess-1", "joint-2"), strict=True):
        options = RunOptions(out=run, show_progress=False)
        train(TrainRequest(recipe=recipe, data=photographs, run=options, steps=1))
    request = ExportRequest(
        runs=runs, data=photographs, store=tmp_path / "store", name="first", show_progress=False, notes="Of nothing."
    )
    manifest = export(request)
    assert set(manifest.networks) == {"postprocess-1", "postprocess-2", "description-2"}
    worths = [OperatingTable(manifest.tables).worth(quality) for quality in range(1, 101)]
    assert worths == sorted(worths, reverse=True)
    store = ModelStore(tmp_path / "store")
    assert store.default == manifest
    assert not list((tmp_path / "store").glob(".*"))
    codec = open_codec(tmp_path / "store")
    result = codec.compress(saved(scene(70, 60)), CompressOptions(quality=30))
    assert opened(codec.restore(result.stream).image).shape == (70, 60, 3)
    with pytest.raises(BadOption, match="there already"):
        export(request)


def test_a_card_gives_each_recipe_a_paragraph(tmp_path: Path) -> None:
    request = ExportRequest(runs=(), data=tmp_path, store=tmp_path, name="first")
    card = _card(request, make_store(tmp_path).default, [RECIPES["joint-1"](), RECIPES["smoke"]()])
    recipes = card.partition("## Recipes\n\n")[2].splitlines()
    assert [line.partition(",")[0] for line in recipes] == ["- `joint-1`", "- `smoke`"]
    assert "start it from a finished `softer-1`. Every fourth batch" in recipes[0]


def test_what_was_not_trained_leaves_no_folder(photographs: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(BadModel, match="not a checkpoint"):
        export(ExportRequest(runs=(tmp_path,), data=photographs, store=store, name="first", show_progress=False))
    assert not list(store.iterdir())
