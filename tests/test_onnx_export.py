"""ONNX files of the released models compute what PyTorch computes, at sizes and conditions of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from tests.conftest import ROOT
from virtual_codec.cli import main
from virtual_codec.networks import build
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.onnx_export import onnx_files
from virtual_codec.store import ModelStore

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

MODELS = ("standard-2", "standard-3")  # one of flat and one of U-shaped networks


@pytest.mark.parametrize("name", MODELS)
def test_the_networks_compute_what_pytorch_computes(name: str) -> None:
    store = ModelStore(ROOT / "model_store")
    model = store.get(name)
    for scale, file in zip(model.scales, onnx_files(store, model), strict=True):
        session = onnxruntime.InferenceSession(file.content, providers=["CPUExecutionProvider"])
        about = session.get_modelmeta().custom_metadata_map
        assert (about["model"], about["scale"]) == (model.id, str(scale))
        entry = model.networks[f"postprocess-{scale}"]
        network = build(entry.architecture, entry.arguments).eval()
        network.load_state_dict(load(store.weights(model, f"postprocess-{scale}")))
        multiple = int(about["multiple"])
        for batch, height, width in ((1, 5, 9), (3, 8, 4)):
            random = np.random.default_rng(batch)
            picture = random.random((batch, 3, height * multiple, width * multiple), np.float32)
            condition = random.uniform(-1, 1, (batch, CONDITION_SIZE)).astype(np.float32)
            (found,) = session.run(None, {"picture": picture, "condition": condition})
            with torch.inference_mode():
                wanted = network(torch.from_numpy(picture), torch.from_numpy(condition)).numpy()
            assert found.shape == (batch, 3, scale * height * multiple, scale * width * multiple)
            assert np.abs(found - wanted).max() < 1e-4, "a fortieth of a level of 255"
            assert np.abs(wanted).max() > 0.5


def test_the_command_writes_every_file_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ModelStore(ROOT / "model_store")
    assert main(["export", "--onnx", str(tmp_path), "--model-store", str(store.root)]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {f"{model.id}-{scale}.onnx" for model in store.models() for scale in model.scales}
    assert "files" in capsys.readouterr().out
