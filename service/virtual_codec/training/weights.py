"""Weights folders: networks with their weights, as an input of `vcodec export` and `vcodec train --start-from`.

FOLDER/
├── networks.json        `WeightsFolder`: architecture, arguments and file of each network, encoder parameters
└── *.safetensors        one file a network
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final

from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from virtual_codec.errors import BadModel
from virtual_codec.json_object import JsonObject
from virtual_codec.manifest import EncoderParameters, check_network, check_network_key, read_arguments
from virtual_codec.networks import build
from virtual_codec.store import ModelStore

INDEX: Final = "networks.json"


@final
@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """Network in a weights folder: its row of `networks.NETWORKS`, its arguments, and its weights file."""

    architecture: str
    arguments: dict[str, int | float | str | bool]
    file: str

    def __post_init__(self) -> None:
        check_network(self.architecture, self.file)

    @classmethod
    def read(cls, fields: JsonObject) -> Self:
        """Network of a JSON object."""
        return fields.build(
            cls,
            architecture=fields.text("architecture"),
            arguments=read_arguments(fields),
            file=fields.text("file"),
        )


@final
@dataclass(frozen=True, kw_only=True)
class WeightsFolder:
    """Contents of `networks.json`. `networks` has the keys of a manifest, such as `postprocess-1`."""

    encoder: EncoderParameters
    networks: dict[str, WeightsSource]

    def __post_init__(self) -> None:
        if not self.networks:
            raise ValueError("networks: must hold at least one")
        for key in self.networks:
            check_network_key(key)

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Parse a `networks.json`. Raises `ValueError` with the place of the error."""
        fields = JsonObject.parse(text)
        networks = fields.child("networks")
        return fields.build(
            cls,
            encoder=EncoderParameters.read(fields.child("encoder", {})),
            networks={key: WeightsSource.read(networks.child(key)) for key in networks.names()},
        )


def is_weights_folder(folder: Path) -> bool:
    """True if the folder has a `networks.json`."""
    return (folder / INDEX).is_file()


def is_model(folder: Path) -> bool:
    """True if the folder is a model of a store."""
    return (folder / "manifest.json").is_file()


def load_model_network(folder: Path, key: str) -> dict[str, Tensor]:
    """Weights of a network of a model in a store. Raises `BadModel` if the network is missing or damaged."""
    store = ModelStore(folder.parent, default=folder.name, tolerant=True)
    weights = load(store.weights(store.get(folder.name), key))
    return {name: value.float() for name, value in weights.items()}


def read_weights_folder(folder: Path) -> WeightsFolder:
    """Read a folder's `networks.json`. Raises `BadModel` if it cannot be read or is not a valid `WeightsFolder`."""
    try:
        return WeightsFolder.from_json((folder / INDEX).read_bytes())
    except OSError as error:
        raise BadModel(f"{folder / INDEX} cannot be read") from error
    except ValueError as error:
        raise BadModel(f"{folder / INDEX}: {error}") from error


def load_weights(folder: Path, source: WeightsSource) -> dict[str, Tensor]:
    """Load a network's weights. Raises `BadModel` if they are missing or damaged, or do not fit the architecture."""
    try:
        weights = load_file(folder / source.file)
        build(source.architecture, source.arguments).load_state_dict(weights)
    except (OSError, SafetensorError) as error:
        raise BadModel(f"{folder / source.file} cannot be read: {error}") from error
    except RuntimeError as error:
        raise BadModel(f"the weights in {source.file} do not fit {source.architecture}: {error}") from error
    return weights


def load_network(folder: Path, key: str) -> dict[str, Tensor]:
    """Weights of a network of a model or of a weights folder. Raises `BadModel` if it has no network of that key."""
    if not is_weights_folder(folder):
        return load_model_network(folder, key)
    networks = read_weights_folder(folder).networks
    if key not in networks:
        raise BadModel(f"{folder} has no network {key!r}; have {', '.join(sorted(networks))}")
    return load_weights(folder, networks[key])
