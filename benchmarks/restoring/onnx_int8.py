"""Convolution in 8-bit integers by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

_OPSET = 17
_IR_VERSION = 8


def quantised_run(
    module: nn.Conv2d, features: Tensor, step: float, zero: int, weight_step: float
) -> Callable[[], object]:
    """Run of a convolution of quantised [1, C, h, w] features: bytes in and out, signed weights, one thread."""
    weight = np.clip(np.rint(module.weight.detach().float().numpy() / weight_step), -127, 127).astype(np.int8)
    bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().float().numpy()
    constants = {
        "step": np.float32(step),
        "zero": np.uint8(zero),
        "weight": weight,
        "weight_step": np.full(len(weight), weight_step, np.float32),
        "weight_zero": np.zeros(len(weight), np.int8),
        "bias": np.rint(bias / (step * weight_step)).astype(np.int32),
    }
    inputs = ["x", "step", "zero", "weight", "weight_step", "weight_zero", "step", "zero", "bias"]
    across, down = module.stride
    pads = [int(side) for side in module.padding] * 2
    node = helper.make_node("QLinearConv", inputs, ["y"], pads=pads, strides=[across, down])
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, list(features.shape))],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, len(weight), None, None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {"x": np.clip(np.rint(features.contiguous().numpy() / step) + zero, 0, 255).astype(np.uint8)}
    return lambda: session.run(None, given)
