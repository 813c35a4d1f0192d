"""Growth of a network from a smaller one, so that both compute the same function at first.

The method is that of Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (arXiv
1511.05641), for residual bodies. New channels and blocks begin with weights of zero towards the old ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

_HEAD_WEIGHT = "head.weight"
_CONDITION_WEIGHT = "embed.0.weight"  # of the condition


def grown_state(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of a network, `own`, with the tensors replaced for which `weights` has a counterpart.

    A tensor of the same name and shape is copied. A conditioned body with more channels or blocks, with its head and
    tail, gets the smaller one in its first channels and blocks; so does a U-shaped trunk. New entries of a longer
    condition begin with weights of zero. Other tensors stay as they are.
    """
    result = dict(own)
    result |= {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    for name in (name for name in own if name.endswith(_CONDITION_WEIGHT) and name in weights):
        more = own[name].shape[1] - weights[name].shape[1]
        if more > 0 and len(own[name]) == len(weights[name]):
            result[name] = functional.pad(weights[name], (0, more))
    for head in (name for name in own if name == _HEAD_WEIGHT or name.endswith(f".{_HEAD_WEIGHT}")):
        prefix = head.removesuffix(_HEAD_WEIGHT)
        if f"{prefix}shrink.0.weight" in own and f"{prefix}shrink.0.weight" in weights:
            _grow_u_shape(result, own, weights, prefix)
        if f"{prefix}body.embed.2.weight" in weights and head in weights:
            _grow(result, own, weights, prefix)
    return result


def _grow(result: dict[str, Tensor], own: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str) -> None:
    """Grow a network with one body, if it has at least the channels and blocks of the smaller one."""
    channels, old_channels = len(own[f"{prefix}{_HEAD_WEIGHT}"]), len(weights[f"{prefix}{_HEAD_WEIGHT}"])
    blocks, old_blocks = _block_count(own, f"{prefix}body."), _block_count(weights, f"{prefix}body.")
    if (channels, blocks) == (old_channels, old_blocks) or channels < old_channels or blocks < old_blocks:
        return
    for name in (name for name in own if name.startswith(prefix) and ".body." not in f".{name}" and name in weights):
        result[name] = _zero_padded(own[name], weights[name])
    _grow_body(result, own, weights, f"{prefix}body.")


def _grow_u_shape(
    result: dict[str, Tensor], own: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str
) -> None:
    """Grow a U-shaped network of as many levels, each with at least the channels and blocks of the smaller one."""
    bodies = [name.removesuffix("embed.2.weight") for name in own if name.endswith("embed.2.weight")]
    bodies = [body for body in bodies if body.startswith(prefix)]
    for body in bodies:
        old = weights.get(f"{body}embed.2.weight")
        if (
            old is None
            or _block_count(own, body) < _block_count(weights, body)
            or len(own[f"{body}embed.2.weight"]) < len(old)
        ):
            return
    for name in (name for name in own if name.startswith(prefix) and not name.startswith(tuple(bodies))):
        if name in weights:
            result[name] = _zero_padded(own[name], weights[name])
    for body in bodies:
        _grow_body(result, own, weights, body)


def _grow_body(result: dict[str, Tensor], own: Mapping[str, Tensor], weights: Mapping[str, Tensor], body: str) -> None:
    """Grow a `ConditionedBody`: its old channels and blocks come first, new blocks begin as the identity."""
    for name in (name for name in own if name.startswith(body) and ".embed." not in f".{name}"):
        if name in weights:
            result[name] = _zero_padded(own[name], weights[name])
        elif "reduce." in name:
            result[name] = torch.zeros_like(own[name])
    blocks, old_blocks = _block_count(own, body), _block_count(weights, body)
    for kind in ("weight", "bias"):
        name = f"{body}embed.2.{kind}"
        film = torch.zeros_like(own[name]).unflatten(0, (blocks, 2, -1))  # new channels begin unconditioned
        old = weights[name].unflatten(0, (old_blocks, 2, -1))
        film[:old_blocks, :, : old.shape[2]] = old
        result[name] = film.flatten(0, 2)


def _zero_padded(fresh: Tensor, old: Tensor) -> Tensor:
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


def _block_count(weights: Mapping[str, Tensor], body: str) -> int:
    return sum(name.startswith(f"{body}reduce.") and name.endswith(".weight") for name in weights)
