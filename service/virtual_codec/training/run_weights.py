"""Averaged weights of runs as weights folders: small files, from which `export` and `--start-from` read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from safetensors.torch import save_file
from torch import Tensor

from virtual_codec.errors import BadOption
from virtual_codec.training.checkpoint import tensors_under
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.weights import INDEX, read_weights_folder

WEIGHTS: Final = "weights"  # name of the weights folder in a run's folder


@final
@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """Network of a run: its row in `networks.NETWORKS`, arguments and averaged weights."""

    architecture: str
    arguments: dict[str, int | float | str | bool]
    weights: Mapping[str, Tensor]


def networks_of_run(config: TrainConfig, weights: Mapping[str, Tensor]) -> dict[str, TrainedNetwork]:
    """Networks of a run's averaged weights by their keys in a manifest, such as `postprocess-1`."""
    architecture, arguments = config.postprocess_network
    arguments |= {"views": config.views} if config.views > 1 else {}
    restoring = tensors_under("postprocess.", weights) if config.target in ("joint", "virtual") else weights
    key = f"postprocess-{config.scale}"
    networks = {key: TrainedNetwork(architecture=architecture, arguments=arguments, weights=restoring)}
    if config.target in ("joint", "virtual"):
        size: dict[str, int | float | str | bool] = {
            "channels": config.description_channels,
            "blocks": config.description_blocks,
        }
        size |= {"scale": config.scale} if config.scale != 2 else {}
        networks[f"description-{config.scale}"] = TrainedNetwork(
            architecture="description", arguments=size, weights=tensors_under("description.", weights)
        )
    return networks


def write_weights(folder: Path, config: TrainConfig, weights: Mapping[str, Tensor]) -> None:
    """Write a run's networks as a weights folder (`virtual_codec.training.weights`), float32, one file each."""
    folder.mkdir(exist_ok=True)
    described = {}
    for key, network in networks_of_run(config, weights).items():
        file = f"{key}.safetensors"
        tensors = {
            name: value.detach().to("cpu", torch.float32).contiguous() for name, value in network.weights.items()
        }
        save_file(tensors, folder / file)
        described[key] = {"architecture": network.architecture, "arguments": network.arguments, "file": file}
    _write_index(folder, described, config.chroma_dc)


def collect_weights(folders: Sequence[Path], target: Path) -> None:
    """Copy the networks of several weights folders into one. Raises `BadOption` if their encoders differ."""
    sources = [read_weights_folder(folder) for folder in folders]
    if any(source.encoder != sources[0].encoder for source in sources):
        raise BadOption("these runs were trained with different encoder parameters, but a model has only one set")
    target.mkdir(exist_ok=True)
    described = {}
    for folder, source in zip(folders, sources, strict=True):
        for key, network in source.networks.items():
            shutil.copyfile(folder / network.file, target / network.file)
            described[key] = {name: getattr(network, name) for name in ("architecture", "arguments", "file")}
    _write_index(target, described, sources[0].encoder.chroma_dc)


def _write_index(folder: Path, networks: Mapping[str, Any], chroma_dc: float) -> None:
    index = {"encoder": {"chroma_dc": chroma_dc}, "networks": networks}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")
