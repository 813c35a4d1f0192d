"""Weights folders: networks that were trained outside of `vcodec train`, as an input of `vcodec export`.

FOLDER/
├── networks.json        `WeightsFolder`: architecture, arguments and file of each network, encoder parameters
└── *.safetensors        one file a network
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from virtual_codec.errors import BadModel
from virtual_codec.networks import build
from virtual_codec.store import EncoderParameters, FileName, NetworkKey

_INDEX: Final = "networks.json"
_FROZEN: Final = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@final
class WeightsSource(BaseModel):
    """Network in a weights folder: a row of `networks.NETWORKS`, its arguments, and the file that holds its weights."""

    model_config = _FROZEN

    architecture: str = Field(min_length=1)
    arguments: dict[str, int | float | str | bool]
    file: FileName


@final
class WeightsFolder(BaseModel):
    """Contents of `networks.json`; `networks` has the keys of a manifest, such as `postprocess-1`."""

    model_config = _FROZEN

    encoder: EncoderParameters = EncoderParameters()
    networks: dict[NetworkKey, WeightsSource] = Field(min_length=1)


def is_weights_folder(folder: Path) -> bool:
    """True if the folder has a `networks.json`."""
    return (folder / _INDEX).is_file()


def read_weights_folder(folder: Path) -> WeightsFolder:
    """Read a folder's `networks.json`. Raises `BadModel` where it is not what `WeightsFolder` says."""
    try:
        return WeightsFolder.model_validate_json((folder / _INDEX).read_bytes())
    except OSError as error:
        raise BadModel(f"{folder / _INDEX} cannot be read") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors())
        raise BadModel(f"{folder / _INDEX}: {problems}") from error


def load_weights(folder: Path, source: WeightsSource) -> dict[str, Tensor]:
    """Load a network's weights. Raises `BadModel` where they are missing, damaged, or do not fit the architecture."""
    try:
        weights = load_file(folder / source.file)
        build(source.architecture, source.arguments).load_state_dict(weights)
    except (OSError, SafetensorError) as error:
        raise BadModel(f"{folder / source.file} cannot be read: {error}") from error
    except RuntimeError as error:
        raise BadModel(f"the weights in {source.file} do not fit {source.architecture}: {error}") from error
    return weights
