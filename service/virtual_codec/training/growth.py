"""Growth of a network from a smaller one: the larger one begins as the same function.

After Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (arXiv 1511.05641), for
residual bodies: new channels and blocks at first write nothing that the old ones read.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_HEAD = "head.weight"


def grown(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of a network, `own`, in which the tensors that `weights` can provide are replaced.

    A tensor of the same name and shape is copied. A conditioned body of more channels or blocks, with its head and
    tail, holds the smaller one in its first channels and blocks. Other tensors stay as they are.
    """
    result = dict(own)
    result |= {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    for head in (name for name in own if name == _HEAD or name.endswith(f".{_HEAD}")):
        prefix = head.removesuffix(_HEAD)
        if f"{prefix}body.embed.2.weight" in weights and head in weights:
            _grow(result, own, weights, prefix)
    return result


def _grow(result: dict[str, Tensor], own: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str) -> None:
    channels, old_channels = len(own[f"{prefix}{_HEAD}"]), len(weights[f"{prefix}{_HEAD}"])
    blocks, old_blocks = _blocks(own, prefix), _blocks(weights, prefix)
    if (channels, blocks) == (old_channels, old_blocks) or channels < old_channels or blocks < old_blocks:
        return
    for name in (name for name in own if name.startswith(prefix) and ".embed." not in name):
        if name in weights:
            result[name] = _padded(own[name], weights[name])
        elif ".reduce." in name:  # a new block begins as the identity
            result[name] = torch.zeros_like(own[name])
    for kind in ("weight", "bias"):
        name = f"{prefix}body.embed.2.{kind}"
        film = torch.zeros_like(own[name]).unflatten(0, (blocks, 2, channels))  # new channels begin unconditioned
        film[:old_blocks, :, :old_channels] = weights[name].unflatten(0, (old_blocks, 2, old_channels))
        result[name] = film.flatten(0, 2)


def _padded(fresh: Tensor, old: Tensor) -> Tensor:
    """Copy of `fresh` with `old` in its first rows and columns; old rows have zeros in the new columns."""
    if fresh.shape[2:] != old.shape[2:] or any(new < given for new, given in zip(fresh.shape, old.shape, strict=True)):
        return fresh
    result = fresh.clone()
    if old.ndim == 1:
        result[: len(old)] = old
    else:
        result[: len(old)] = 0
        result[: len(old), : old.shape[1]] = old
    return result


def _blocks(weights: Mapping[str, Tensor], prefix: str) -> int:
    return sum(name.startswith(f"{prefix}body.reduce.") and name.endswith(".weight") for name in weights)
