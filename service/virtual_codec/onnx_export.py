"""Post-processing networks of a model as ONNX files, for programs in other languages.

picture    [B, 3, h, w]  decoded samples in 0..1, sides multiples of `multiple` in the file's metadata
condition  [B, K]        of the stream's quantisation tables, see `virtual_codec.networks.condition`
restored   [B, 3, scale*h, scale*w]  not clipped
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from typing import Final

import torch
from safetensors.torch import load
from torch import nn

from virtual_codec.errors import BadOption
from virtual_codec.networks import build
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.store import Manifest, ModelStore

OPSET: Final = 18
_SPATIAL: Final = {0: "batch", 2: "height", 3: "width"}
_TRACED_SIDES: Final = (6, 7)  # of the picture that is traced, in multiples; no side is fixed by it


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """ONNX file of one network."""

    name: str
    content: bytes = field(repr=False)


def onnx_files(store: ModelStore, model: Manifest) -> list[OnnxFile]:
    """ONNX files `<model id>-<scale>.onnx` of a model's post-processing networks, in float32.

    Raises `BadModel` for damaged weights, and `BadOption` without the package onnx.
    """
    return [OnnxFile(name=f"{model.id}-{scale}.onnx", content=_file(store, model, scale)) for scale in model.scales]


def _file(store: ModelStore, model: Manifest, scale: int) -> bytes:
    name = f"postprocess-{scale}"
    entry = model.networks[name]
    network = build(entry.architecture, entry.arguments)
    network.load_state_dict(load(store.weights(model, name)))
    multiple = int(network.multiple)  # type: ignore[arg-type]  # every network has it
    condition = int(entry.arguments.get("condition", CONDITION_SIZE))  # longer for streams of other codecs
    return _with_metadata(
        _traced(network.eval(), multiple, condition),
        {"model": model.id, "name": model.name, "scale": str(scale), "multiple": str(multiple)},
    )


def _traced(network: nn.Module, multiple: int, condition: int) -> bytes:
    height, width = (multiple * side for side in _TRACED_SIDES)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing is deprecated. Its successor needs a further package, fixes the batch, and takes
        # half a minute for a network.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, height, width), torch.zeros(2, condition)),
            file,  # type: ignore[arg-type]  # the tracing exporter takes a file object too
            dynamo=False,
            opset_version=OPSET,
            input_names=["picture", "condition"],
            output_names=["restored"],
            dynamic_axes={"picture": _SPATIAL, "condition": {0: "batch"}, "restored": _SPATIAL},
        )
    return file.getvalue()


def _with_metadata(content: bytes, values: dict[str, str]) -> bytes:
    try:
        import onnx
    except ImportError as error:
        raise BadOption("ONNX files need the package onnx: pip install 'virtual-codec[onnx]'") from error
    model = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(model, values)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised
