"""Export of finished runs as a model folder: weights, manifest with calibrated tables, model card."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from virtual_codec.codec import self_check
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.errors import BadOption
from virtual_codec.runner import DirectRunner, open_device
from virtual_codec.store import EncoderParameters, Manifest, ModelStore, NetworkEntry, model_id
from virtual_codec.training.calibration import calibrate
from virtual_codec.training.calibration_of_levels import calibrate_levels
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, read_progress
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.recipes import RECIPES, documentation_of
from virtual_codec.training.run_weights import networks_of_run
from virtual_codec.training.weights import is_weights_folder, load_weights, read_weights_folder

_CALIBRATION_CROP: Final = 192
_CALIBRATION_IMAGES: Final = 28


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """Arguments of `vcodec export`.

    `runs` are folders of finished runs, one for each scale, or weights folders (`virtual_codec.training.weights`). The
    tables are measured on `device`. `devices` are the kinds of devices that the model is meant for, such as ("cuda",);
    an empty tuple means any. `licence` is the licence of the weights. `data_licences` are the licences of the training
    pictures, the most frequent first. If they are empty, nothing is stated.
    """

    runs: tuple[Path, ...]
    data: Path
    store: Path
    name: str
    make_default: bool = False
    notes: str = ""
    licence: str = ""
    data_licences: tuple[str, ...] = ()
    show_progress: bool = True
    device: str = "cpu"
    devices: tuple[str, ...] = ()


def export(request: ExportRequest) -> Manifest:
    """Write the model folder `store`/`name` and return its manifest.

    The folder appears only when it is complete. The model becomes the store's default with `make_default`, or if the
    store has no default. The tables are measured on the images of `data` that training held out. Raises `BadOption` if
    the folder exists, if the runs lack a scale, or if a model without JPEG would become the default. Raises `BadModel`
    for unreadable weights and `BadTrainingData` for unusable images.
    """
    folder = request.store / request.name
    if folder.exists():
        raise BadOption(f"{folder} exists already; choose another name, because a released model never changes")
    request.store.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".export-", dir=request.store))
    try:
        configs: list[TrainConfig] = []
        entries: dict[str, NetworkEntry] = {}
        encoders: list[EncoderParameters] = []
        for run in request.runs:
            if is_weights_folder(run):
                described = read_weights_folder(run)
                encoders.append(described.encoder)
                for key, source in described.networks.items():
                    weights = load_weights(run, source)
                    entries[key] = _write_weights(staging, key, source.architecture, dict(source.arguments), weights)
            else:
                configs.append(read_recipe(run))
                encoders.append(EncoderParameters(chroma_dc=configs[-1].chroma_dc))
                entries |= _write_networks(staging, load_average(run / CHECKPOINT), configs[-1])
        codecs = _codecs_of_runs(configs)
        if codecs == ["jpeg"]:
            _check_scales(entries)
        elif request.make_default:
            raise BadOption(f"only a model for JPEG can be the store's default; this one is for {', '.join(codecs)}")
        manifest = _measured_manifest(request, staging, entries, _common_encoder(encoders), codecs)
        (staging / "manifest.json").write_text(manifest.to_json())
        (staging / "MODEL_CARD.md").write_text(_model_card_text(request, manifest, configs))
        staging.chmod(0o755)
        os.replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if request.make_default or ("jpeg" in manifest.codecs and not (request.store / "CURRENT").exists()):
        pointer = request.store / "CURRENT.partial"
        pointer.write_text(request.name + "\n")
        os.replace(pointer, request.store / "CURRENT")
    return manifest


def read_recipe(run: Path) -> TrainConfig:
    """Recipe of a run, by its checkpoint, with the number of steps made. Raises `BadOption` or `BadModel`."""
    progress = read_progress(run / CHECKPOINT)
    if progress.recipe not in RECIPES:
        raise BadOption(f"{run} was trained with the unknown recipe {progress.recipe!r}; have {', '.join(RECIPES)}")
    config = RECIPES[progress.recipe]()
    if config.target == "paper":
        raise BadOption(
            f"{run} holds published networks, which work in grey at one quality and cannot be exported; "
            "`python -m benchmarks.published` measures them"
        )
    return replace(config, steps=max(1, progress.step))


def _codecs_of_runs(configs: list[TrainConfig]) -> list[str]:
    """Codecs of a model that consists of the runs. Raises `BadOption` if the runs cannot be combined."""
    of_runs = [[name for name, _ in config.codecs] or ["jpeg"] for config in configs] or [["jpeg"]]
    if any(codecs != of_runs[0] for codecs in of_runs) or (len(of_runs) > 1 and of_runs[0] != ["jpeg"]):
        raise BadOption("a run with the target codecs is a model of its own; export it without other runs")
    return of_runs[0]


def _check_scales(entries: Mapping[str, NetworkEntry]) -> None:
    """Raise `BadOption` if a scale has no post-processing network, because calibration measures both scales."""
    missing = [scale for scale in (1, 2) if f"postprocess-{scale}" not in entries]
    if missing:
        raise BadOption(
            f"a model needs post-processing at scales 1 and 2; these runs hold {', '.join(sorted(entries))}; "
            f"add a run of scale {missing[0]} (postprocess-{missing[0]}, joint-{missing[0]} ...)"
        )


def _common_encoder(encoders: list[EncoderParameters]) -> EncoderParameters:
    """Encoder parameters that all runs share. Raises `BadOption` if they differ."""
    if any(encoder != encoders[0] for encoder in encoders):
        found = ", ".join(f"{encoder.chroma_dc:g}" for encoder in encoders)
        raise BadOption(
            f"a model has one chroma_dc, but these runs were trained with {found}; train them with the same one"
        )
    return encoders[0] if encoders else EncoderParameters()


def _write_networks(folder: Path, weights: Mapping[str, Tensor], config: TrainConfig) -> dict[str, NetworkEntry]:
    """Write the weights of a run's networks into `folder` and return their manifest entries."""
    precision = torch.float16 if config.codecs else torch.float32
    return {
        key: _write_weights(folder, key, network.architecture, network.arguments, network.weights, precision)
        for key, network in networks_of_run(config, weights).items()
    }


def _write_weights(
    folder: Path,
    key: str,
    architecture: str,
    arguments: dict[str, int | float | str | bool],
    weights: Mapping[str, Tensor],
    precision: torch.dtype = torch.float32,
) -> NetworkEntry:
    data = save({name: value.to(precision).contiguous() for name, value in weights.items()})
    file = f"{key}.safetensors"
    (folder / file).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return NetworkEntry(architecture=architecture, arguments=arguments, file=file, sha256=sha256)


def _measured_manifest(
    request: ExportRequest,
    staging: Path,
    entries: Mapping[str, NetworkEntry],
    encoder: EncoderParameters,
    codecs: list[str],
) -> Manifest:
    """Manifest with the tables that are measured with the model from a scratch store."""
    draft = Manifest(
        name=request.name,
        id=model_id(entries),
        created=datetime.now(UTC).date().isoformat(),
        licence=request.licence,
        data_licences=list(request.data_licences),
        codecs=codecs,
        networks=dict(entries),
        encoder=encoder,
        devices=list(request.devices),
    )
    with tempfile.TemporaryDirectory(dir=request.store, prefix=".measure-") as scratch:
        shutil.copytree(staging, Path(scratch) / request.name)
        (Path(scratch) / request.name / "manifest.json").write_text(draft.to_json())
        (Path(scratch) / "CURRENT").write_text(request.name)
        model = ModelNetworks(ModelStore(Path(scratch)), draft, DirectRunner(open_device(request.device)))
        measured = calibrate if "jpeg" in codecs else calibrate_levels
        tables = measured(model, _calibration_images(request.data), show_progress=request.show_progress)
        tables[self_check.TABLE] = self_check.expected_psnr_db(model)
    return replace(draft, tables=tables)


def _calibration_images(data: Path) -> list[NDArray[np.uint8]]:
    """Held-out crops, and the middle of each enlarged by two.

    The enlarged middles are soft, as many photographs of users are. The pictures of training folders are sharp.
    """
    pictures = Pictures(data, smallest=_CALIBRATION_CROP, only_held_out=True)
    crops = pictures.held_out_crops(_CALIBRATION_CROP, most=_CALIBRATION_IMAGES)
    quarter, side = _CALIBRATION_CROP // 4, (_CALIBRATION_CROP, _CALIBRATION_CROP)
    middles = [crop[quarter : 3 * quarter, quarter : 3 * quarter] for crop in crops]
    soft = [np.asarray(Image.fromarray(middle).resize(side, Image.Resampling.LANCZOS)) for middle in middles]
    return crops + soft


def _model_card_text(request: ExportRequest, manifest: Manifest, configs: list[TrainConfig]) -> str:
    rows = "\n".join(
        f"| {key} | {entry.architecture} | {dict(entry.arguments)} | `{entry.sha256[:12]}` |"
        for key, entry in manifest.networks.items()
    )
    runs = "\n".join(
        f"- `{config.name}`, {config.steps} steps: {documentation_of(RECIPES[config.name])}" for config in configs
    )
    meant = f", meant for {', '.join(manifest.devices)}" if manifest.devices else ""
    return (
        f"# {manifest.name} ({manifest.id})\n\nMade on {manifest.created}{meant}.\n\n{request.notes}\n\n## Networks\n\n"
        f"| network | architecture | arguments | sha256 |\n| --- | --- | --- | --- |\n{rows}\n"
        f"\n## Licences\n\n{_licence_text(request)}\n" + (f"\n## Recipes\n\n{runs}\n" if configs else "")
    )


def _licence_text(request: ExportRequest) -> str:
    weights = f"The weights are under {request.licence}." if request.licence else "No licence of the weights is stated."
    pictures = ", ".join(request.data_licences) or "not stated"
    return f"{weights} Licences of the pictures that the networks were trained on: {pictures}."
