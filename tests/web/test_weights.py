"""Weights files hold what the network's weights are, in the order that the kernels take them."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from tests.conftest import ROOT
from virtual_codec.errors import BadModel
from virtual_codec.store import ModelStore
from virtual_codec.web._weights import MAGIC, pack_weights

Tensors = dict[str, NDArray[np.float32]]


def opened(file: bytes) -> tuple[dict[str, Any], Tensors]:
    """Header and weights of a file, read as worker.js reads them."""
    assert file.startswith(MAGIC)
    content = zlib.decompress(file[len(MAGIC) :], -zlib.MAX_WBITS)
    [length] = struct.unpack_from("<I", content)
    header = json.loads(content[4 : 4 + length])
    position = 4 + length
    weights: Tensors = {}
    for name, kind, shape in header["weights"]:
        count = int(np.prod(shape))
        if kind == "half":
            low, high = np.frombuffer(content, np.uint8, 2 * count, position).reshape(2, count)
            values = (low.astype(np.uint16) | high.astype(np.uint16) << 8).view(np.float16).astype(np.float32)
            position += 2 * count
        else:
            scales = np.frombuffer(content, "<f4", shape[-1], position)
            levels = np.frombuffer(content, np.int8, count, position + 4 * shape[-1])
            values = (levels.reshape(-1, shape[-1]) * scales).ravel()
            position += 4 * shape[-1] + count
        weights[name] = values.reshape(shape)
    assert position == len(content)
    return header, weights


def u_shaped(widths: tuple[int, ...] = (8, 16, 24), *, scale: int = 1) -> Tensors:
    """Weights of a small U-shaped trunk: one block at each level and way."""
    chance = np.random.default_rng(0)

    def layer(name: str, cin: int, cout: int, size: int) -> Tensors:
        return {
            f"{name}.weight": chance.normal(size=(cout, cin, size, size)).astype(np.float32),
            f"{name}.bias": chance.normal(size=cout).astype(np.float32),
        }

    def body(name: str, channels: int) -> Tensors:
        linear = {
            f"{name}.embed.0.weight": chance.normal(size=(64, 17)).astype(np.float32),
            f"{name}.embed.0.bias": np.zeros(64, np.float32),
            f"{name}.embed.2.weight": chance.normal(size=(2 * channels, 64)).astype(np.float32),
            f"{name}.embed.2.bias": np.zeros(2 * channels, np.float32),
        }
        return {
            **linear,
            **layer(f"{name}.expand.0", channels, channels, 3),
            **layer(f"{name}.reduce.0", channels, channels, 3),
        }

    tensors = layer("head", 12 if scale == 1 else 3, widths[0], 3) | layer("tail", widths[0], 12, 3)
    for level, width in enumerate(widths):
        tensors |= body(f"down.{level}", width)
        if level:
            tensors |= layer(f"shrink.{level - 1}", widths[level - 1], width, 2)
            tensors |= layer(f"grow.{level - 1}", width, 4 * widths[level - 1], 1) | body(
                f"up.{level - 1}", widths[level - 1]
            )
    return tensors


def without_rounding(tensors: Tensors) -> Tensors:
    """Weights of a moderate size that 8 bits and half precision hold exactly."""
    result: Tensors = {}
    for name, values in tensors.items():
        values = 0.5 * values / np.sqrt(np.prod(values.shape[1:]))
        if values.ndim == 4:
            channels = 4 if name.startswith("grow") else 1  # pixels of one channel share a scale
            groups = values.reshape(-1, channels * int(np.prod(values.shape[1:])))
            scales = np.abs(groups).max(axis=1, keepdims=True) / 127
            values = (np.rint(groups / scales) * scales).reshape(values.shape)
        else:
            values = values.astype(np.float16)
        result[name] = values.astype(np.float32)
    return result


@pytest.mark.parametrize(("scale", "unit", "multiple", "radius"), [(1, 2, 2, 26), (2, 1, 1, 13)])
def test_a_released_model_is_packed_in_half_precision(scale: int, unit: int, multiple: int, radius: int) -> None:
    store = ModelStore(ROOT / "model_store")
    model = store.get("standard-2")
    blocks = int(model.networks[f"postprocess-{scale}"].arguments["blocks"])
    header, weights = opened(pack_weights(store.weights(model, f"postprocess-{scale}"), scale))
    assert (header["unit"], header["multiple"]) == (unit, multiple)
    assert header["radius"] == unit * (2 * blocks + 2)
    assert [step[0] for step in header["steps"]] == ["conv", "conv", *["block"] * blocks, "conv"]
    assert {kind for _, kind, _ in header["weights"]} == {"half"}
    assert weights["head.weight"].shape == (9, 12 if scale == 1 else 4, 48)


def test_halves_are_within_their_precision() -> None:
    tensors = u_shaped()
    flat = {
        name.replace("down.0", "body"): values
        for name, values in tensors.items()
        if name[0] in "ht" or "down.0" in name
    }
    _, weights = opened(pack_weights(save(flat), 1))
    kernel = flat["body.expand.0.weight"].transpose(2, 3, 1, 0).reshape(9, 8, 8)
    np.testing.assert_allclose(weights["body.expand.0.weight"], kernel, rtol=2**-10, atol=1e-7)


def test_a_u_shaped_trunk_is_packed_in_bytes() -> None:
    tensors = u_shaped()
    header, weights = opened(pack_weights(save(tensors), 1))
    assert (header["multiple"], header["radius"]) == (8, 2 * (5 + 2 * (2 + 2 * 2 + 4)))
    assert header["shared"] == [["in"], ["h0"], ["x1", "h1", "x2", "h2"]]
    assert header["floats"] == 8 + 12 + max(12, 8, 16 * 2 / 4 + 24 * 2 / 16)
    kinds = {name: kind for name, kind, shape in header["weights"] if len(shape) == 3}
    assert {name for name, kind in kinds.items() if kind == "half"} == {"head.weight", "tail.weight"}
    assert [step[0] for step in header["steps"]] == [
        *["conv", "conv", "block", "shrink", "block", "shrink", "block"],
        *["grow", "block", "grow", "block", "conv"],
    ]
    grow = tensors["grow.0.weight"].reshape(8, 4, 16).transpose(1, 2, 0)
    largest = np.abs(grow).max(axis=(0, 1))
    assert (np.abs(weights["grow.0.weight"] - grow) <= largest / 254 * 1.001).all()
    np.testing.assert_allclose(weights["grow.0.bias"], tensors["grow.0.bias"].reshape(8, 4).T, rtol=2**-10, atol=1e-7)


@pytest.mark.parametrize("kind", ["another network", "odd channels", "wrong scale", "no weights"])
def test_a_network_that_the_kernels_do_not_support_is_refused(kind: str) -> None:
    match kind:
        case "another network":
            data = save({"layers.0.weight": np.zeros((8, 8, 3, 3), np.float32)})
        case "odd channels":
            data = save(u_shaped((8, 12, 16)))
        case "wrong scale":
            data = save(u_shaped(scale=2))
        case _:
            data = b"nothing"
    with pytest.raises(BadModel):
        pack_weights(data, 1)
