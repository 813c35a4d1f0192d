"""Several recipes on one device, and the weights folders that runs leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.models import made_up_tables, make_store
from virtual_codec.cli import main
from virtual_codec.errors import BadModel
from virtual_codec.training import RunOptions, TrainRequest, train
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, tensors_under
from virtual_codec.training.export import ExportRequest, export
from virtual_codec.training.weights import load_network, read_weights_folder


def test_recipes_run_side_by_side_and_leave_one_weights_folder(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = ("--steps", "2", "--batch", "2", "--crop", "32", "--precision", "float32")
    options = ("--data", str(photographs), "--device", "cpu", "--codec", "device", "--quiet", "--json")
    made = main(["train", "postprocess-1", "postprocess-2", "--out", str(tmp_path / "runs"), *sizes, *options])
    assert made == 0, (tmp_path / "runs" / "postprocess-1" / "output.txt").read_text()
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(report["recipe"], report["step"]) for report in reports] == [("postprocess-1", 2), ("postprocess-2", 2)]
    weights = tmp_path / "runs" / "weights"
    assert set(read_weights_folder(weights).networks) == {"postprocess-1", "postprocess-2"}
    average = load_average(tmp_path / "runs" / "postprocess-1" / CHECKPOINT)
    assert all(torch.equal(average[name], value) for name, value in load_network(weights, "postprocess-1").items())

    monkeypatch.setattr("virtual_codec.training.export.calibrate", lambda *_arguments, **_options: made_up_tables())
    request = ExportRequest(
        runs=(weights,),
        data=photographs,
        store=tmp_path / "store",
        name="large",
        show_progress=False,
        devices=("cuda",),
    )
    manifest = export(request)
    assert manifest.devices == ["cuda"]
    assert "meant for cuda" in (tmp_path / "store" / "large" / "MODEL_CARD.md").read_text()
    assert main(["models", "--model-store", str(tmp_path / "store")]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("cuda")


def test_a_run_that_fails_is_named_and_the_other_is_kept(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--steps", "1", "--batch", "2", "--crop", "32", "--data", str(photographs), "--device", "cpu", "--quiet")
    assert main(["train", "smoke", "joint-1", "--out", str(tmp_path), *options]) == 1
    assert "joint-1: joint-1 needs the weights of a finished run of softer-1" in capsys.readouterr().err
    assert set(read_weights_folder(tmp_path / "weights").networks) == {"postprocess-1"}
    assert main(["train", "smoke", "smoke", "--out", str(tmp_path / "twice"), *options]) == 2


def test_a_run_goes_on_from_a_weights_folder(photographs: Path, tmp_path: Path) -> None:
    def request(recipe: str, start: Path, out: str) -> TrainRequest:
        run = RunOptions(out=tmp_path / out, show_progress=False)
        return TrainRequest(recipe=recipe, data=photographs, run=run, steps=1, batch=1, crop=32, start_from=start)

    store = make_store(tmp_path / "store", full_size=True)
    train(request("joint-1", store.root / "tiny", "first"))
    train(request("joint-1", tmp_path / "first" / "weights", "second"))
    first, second = (load_average(tmp_path / name / CHECKPOINT) for name in ("first", "second"))
    name = "embed.0.weight"
    for role in ("description", "postprocess"):
        before, after = (tensors_under(f"{role}.body.", weights)[name] for weights in (first, second))
        assert float((before - after).abs().max()) < 1e-4
    with pytest.raises(BadModel, match="has no network 'postprocess-2'"):
        load_network(tmp_path / "first" / "weights", "postprocess-2")
