"""Weights files for browsers: a post-processing network as a list of steps, with weights of 16 or 8 bits.

    "VCW1" | raw deflate of: header length, 4 bytes, little-endian | header, JSON | weights

The header holds

    unit, scale     side in input pixels of one sample of the first level; enlargement factor
    multiple        a tile's origin is a multiple of it in pixels, and its sides are padded to one
    radius          number of input pixels, on each side, on which an output pixel depends
    floats          number of floats of all feature maps, for each sample of the first level
    maps            feature map -> [level, channels]; a level has half the rows and columns of the one before
    shared          groups of maps that are never in use at the same time and share their memory
    steps           [operation, from, to, name of its weights, further argument]
    weights         [name, "half" or "byte", shape], in the order of the weights that follow

Weights of kind "half" are the low bytes of all, then the high bytes: separate bytes compress better. Weights of kind
"byte" are a 4-byte float for each output channel, its scale, then a signed byte for each weight. Kernels are
[taps][in][out].
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from virtual_codec.errors import BadModel

MAGIC: Final = b"VCW1"
# Layers that keep half precision: they have 1 % of the weights, but 8 bits there cause three quarters of the error.
_HALF_PRECISION_LAYERS: Final = ("head", "tail")

Tensors = Mapping[str, NDArray[np.float32]]
Kernels = dict[str, NDArray[np.float32]]
Step = list[str | int]


def pack_weights(safetensors: bytes, scale: int) -> bytes:
    """Weights file of a post-processing network, from its safetensors file.

    Flat trunks have half precision. U-shaped trunks have three times as many weights, and 8 bits in the kernels between
    the first and the last layer. Raises `BadModel` for a network that browsers cannot run.
    """
    try:
        tensors = {name: values.astype(np.float32) for name, values in load(safetensors).items()}
    except SafetensorError as error:
        raise BadModel(f"the weights cannot be read: {error}") from error
    try:
        levels = _levels(tensors)
        kernels = _kernels(tensors)
        header = _header(tensors, scale, levels)
    except (KeyError, ValueError, IndexError) as error:
        raise BadModel(f"no browser can run this network: {error}") from error
    return _weights_file(header, kernels, in_bytes=len(levels) > 1)


def _levels(tensors: Tensors) -> list[tuple[int, int, int]]:
    """Channels, downward blocks and upward blocks of each level. A flat trunk has one level."""
    if "body.expand.0.weight" in tensors:
        return [(tensors["head.weight"].shape[0], _layer_count(tensors, "body.expand"), 0)]
    channels = [tensors["head.weight"].shape[0]]
    channels += [tensors[f"shrink.{level}.weight"].shape[0] for level in range(_layer_count(tensors, "shrink"))]
    return [
        (width, _layer_count(tensors, f"down.{level}.expand"), _layer_count(tensors, f"up.{level}.expand"))
        for level, width in enumerate(channels)
    ]


def _layer_count(tensors: Tensors, prefix: str) -> int:
    return len({name for name in tensors if re.fullmatch(rf"{re.escape(prefix)}\.\d+\.weight", name)})


def _header(tensors: Tensors, scale: int, levels: list[tuple[int, int, int]]) -> dict[str, object]:
    unit = 2 if scale == 1 else 1
    if tensors["head.weight"].shape[1] != (12 if scale == 1 else 3) or tensors["tail.weight"].shape[0] != 12:
        raise ValueError(f"its head and tail are not those of scale {scale}")
    maps = {"in": [0, 12 if scale == 1 else 4], "out": [0, 12]}
    for level, (channels, _, _) in enumerate(levels):
        maps |= {f"x{level}": [level, channels], f"h{level}": [level, channels]}
    reach = 2 + (len(levels) > 1) * (2 ** (len(levels) - 1) - 1)
    reach += sum(2 * (down + up) * 2**level for level, (_, down, up) in enumerate(levels))
    deeper = [name for name, (level, _) in maps.items() if level]
    shared = [["in"], ["h0"], *([deeper] if deeper else [])]
    return {
        "unit": unit,
        "scale": scale,
        "multiple": unit * 2 ** (len(levels) - 1),
        "radius": unit * reach,
        "floats": sum(_float_count(maps, [name]) for name in ("x0", "out"))
        + max(_float_count(maps, group) for group in shared),
        "maps": maps,
        "shared": shared,
        "steps": _steps(levels),
    }


def _float_count(maps: Mapping[str, list[int]], names: list[str]) -> float:
    return sum(maps[name][1] / 4.0 ** maps[name][0] for name in names)


def _steps(levels: list[tuple[int, int, int]]) -> list[Step]:
    """Steps of a network. The tail, a linear layer, runs on the head's output first, so that no copy of it is kept."""
    steps: list[Step] = [["conv", "in", "x0", "head", 0], ["conv", "x0", "out", "tail", 0]]
    if len(levels) == 1:
        steps += [["block", "x0", "h0", "body.", index] for index in range(levels[0][1])]
    else:
        for level, (_, down, _) in enumerate(levels):
            if level:
                steps.append(["shrink", f"x{level - 1}", f"x{level}", f"shrink.{level - 1}", 0])
            steps += [["block", f"x{level}", f"h{level}", f"down.{level}.", index] for index in range(down)]
        for level, (_, _, up) in reversed(list(enumerate(levels[:-1]))):
            steps.append(["grow", f"x{level + 1}", f"x{level}", f"grow.{level}", 0])
            steps += [["block", f"x{level}", f"h{level}", f"up.{level}.", index] for index in range(up)]
    return [*steps, ["conv", "x0", "out", "tail", 1]]


def _kernels(tensors: Tensors) -> Kernels:
    """Weights in the layout of the WebAssembly kernels. Raises `ValueError` for a layer without a kernel."""
    kernels: Kernels = {}
    for name, values in sorted(tensors.items()):
        layer = name.partition(".")[0]
        if layer == "grow":
            values = values.reshape(-1, 4, *values.shape[1:2]) if values.ndim == 4 else values.reshape(-1, 4)
            kernels[name] = values.transpose(1, 2, 0) if values.ndim == 3 else values.T
        elif values.ndim == 4 and values.shape[2:] in ((3, 3), (2, 2)):
            if values.shape[1] == 3:  # kernels work on groups of four channels
                values = np.pad(values, [(0, 0), (0, 1), (0, 0), (0, 0)])
            kernels[name] = values.transpose(2, 3, 1, 0).reshape(-1, values.shape[1], values.shape[0])
        elif values.ndim <= 2 and layer in ("head", "tail", "body", "down", "up", "shrink"):
            kernels[name] = values
        else:
            raise ValueError(f"{name} is of an unknown kind")
        least = 8 if layer in ("grow", "shrink") else 4
        if kernels[name].ndim == 3 and (kernels[name].shape[1] % 4 or kernels[name].shape[2] % least):
            raise ValueError(f"the channels of {name} must be multiples of {least}")
    return kernels


def _weights_file(header: dict[str, object], kernels: Kernels, *, in_bytes: bool) -> bytes:
    weights, content = [], bytearray()
    for name, values in kernels.items():
        as_bytes = in_bytes and values.ndim == 3 and name.partition(".")[0] not in _HALF_PRECISION_LAYERS
        weights.append([name, "byte" if as_bytes else "half", list(values.shape)])
        content += _bytes_of(values) if as_bytes else _halves_of(values)
    text = json.dumps({**header, "weights": weights}, separators=(",", ":")).encode()
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return MAGIC + compressor.compress(struct.pack("<I", len(text)) + text + content) + compressor.flush()


def _halves_of(values: NDArray[np.float32]) -> bytes:
    halves = np.ascontiguousarray(values, "<f2").view(np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(halves.T).tobytes()


def _bytes_of(kernel: NDArray[np.float32]) -> bytes:
    """Weights as signed bytes after the scales of the output channels; a channel's largest weight becomes 127."""
    scales: NDArray[np.float32] = np.maximum(np.abs(kernel).max(axis=(0, 1)), np.finfo(np.float32).tiny) / 127
    levels: NDArray[np.int8] = np.rint(kernel / scales).astype(np.int8)
    return scales.astype("<f4").tobytes() + levels.tobytes()
