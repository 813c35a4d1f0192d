"""Networks, and the table from which manifests choose them.

To add a network, write one module here and add one row to `NETWORKS`. Manifests name the row and its arguments, so
neither serving nor the bitstream changes. Every network takes pictures [B, 3, h, w] in [0, 1] (the paper's networks:
[B, 1, h, w]) and a condition [B, CONDITION_SIZE] (see `virtual_codec.networks.condition`), and has four attributes:

    ratio     output size over input size
    multiple  the input's sides and a tile's origin must be multiples of it
    radius    number of input pixels, on each side, on which an output pixel depends
    stride    input pixels, on a side, for one feature of the finest level
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor, nn

from virtual_codec.errors import BadModel
from virtual_codec.networks._body import keep_unfolded, use_minimal_filtering
from virtual_codec.networks._description import DescriptionNet, plain_description, shrink
from virtual_codec.networks._enlarge import enlarge
from virtual_codec.networks._paper import PaperDescriptionNet, PaperRestorationNet
from virtual_codec.networks._postprocess import PostprocessNet
from virtual_codec.networks._u_shaped import UShapedPostprocessNet

__all__ = [
    "NETWORKS",
    "ColourNet",
    "DescriptionNet",
    "PaperDescriptionNet",
    "PaperRestorationNet",
    "PostprocessNet",
    "UShapedPostprocessNet",
    "build",
    "enlarge",
    "keep_unfolded",
    "plain_description",
    "shrink",
    "use_minimal_filtering",
]


class ColourNet(Protocol):
    """Network for colour pictures: every row of `NETWORKS` without `paper`. See the module's docstring."""

    ratio: float
    multiple: int
    radius: int
    stride: int

    def __call__(self, pictures: Tensor, condition: Tensor, /) -> Tensor:
        """[B, 3, h, w] and [B, CONDITION_SIZE] -> [B, 3, ratio*h, ratio*w]."""


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "postprocess": PostprocessNet,
    "u-shaped-postprocess": UShapedPostprocessNet,
    "description": DescriptionNet,
    "paper-description": PaperDescriptionNet,
    "paper-postprocess": PaperRestorationNet,
    "paper-virtual-codec": PaperRestorationNet,
}


def build(architecture: str, arguments: Mapping[str, int | float | str | bool]) -> nn.Module:
    """Build a network of the table with fresh weights. Raises `BadModel` for an unknown network or wrong arguments."""
    if architecture not in NETWORKS:
        raise BadModel(f"no network {architecture!r}; have {', '.join(sorted(NETWORKS))}")
    try:
        return NETWORKS[architecture](**arguments)
    except (TypeError, ValueError) as error:
        raise BadModel(f"{architecture} cannot be made with {dict(arguments)}: {error}") from error
