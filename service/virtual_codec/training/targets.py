"""Targets of recipes: the network, batches, loss and validation that each kind of recipe trains with.

To add one: a function that makes its `TrainingTask`, and a row in `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from virtual_codec.errors import BadOption
from virtual_codec.networks import build
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, tensors_under
from virtual_codec.training.codecs import CodecsValidation, codecs_batches
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.device_batches import DeviceBatches
from virtual_codec.training.device_codec import DeviceCodec
from virtual_codec.training.interrupt import Interrupt
from virtual_codec.training.joint import JointLoss, JointNetworks, JointValidation, joint_batches
from virtual_codec.training.loop import TrainingTask, run
from virtual_codec.training.options import RunOptions, TrainReport, TrainRequest, has_checkpoint
from virtual_codec.training.postprocess import PostprocessValidation, postprocess_loss
from virtual_codec.training.process_group import ProcessGroup, process_group
from virtual_codec.training.published_algorithm import (
    AlternatingLoss,
    AlternatingValidation,
    PublishedNetworks,
    grey_batches,
)
from virtual_codec.training.run_weights import WEIGHTS, write_weights
from virtual_codec.training.samples import batches
from virtual_codec.training.virtual import VirtualCodecNetworks, VirtualLoss, VirtualValidation, virtual_batches
from virtual_codec.training.weights import is_model, is_weights_folder, load_network

_UNLIMITED_STEPS: Final = 1_000_000_000


def train_recipe(config: TrainConfig, request: TrainRequest) -> TrainReport:
    """Train the target of a recipe; several processes share its batch."""
    options = request.run
    if options.paced_by_time:
        if options.time_limit_s is None:
            raise BadOption("--pace time needs --time-limit")
        config = replace(config, steps=_UNLIMITED_STEPS)
    pictures = Pictures(request.data, smallest=config.crop)
    with process_group(options.device) as (processes, device):
        torch.manual_seed(options.seed)
        options = replace(options, device=device)
        _prepare_folder(options)
        task = TARGETS[config.target](config, pictures, options, processes)
        interrupt = Interrupt()
        initial = _initial_weights(config, request)
        progress = run(config, options, task, initial=initial, processes=processes, interrupt=interrupt)
        if processes.is_first and config.target in ("postprocess", "joint"):
            write_weights(options.out / WEIGHTS, config, task.network.state_dict())
    return TrainReport(
        recipe=config.name,
        step=progress.step,
        steps=progress.step if config.steps == _UNLIMITED_STEPS else config.steps,
        seconds=progress.seconds,
        interrupted=interrupt.requested and progress.step < config.steps,
        has_diverged=progress.has_diverged,
        best_step=progress.best_step,
    )


def _prepare_folder(options: RunOptions) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    if has_checkpoint(options) and not options.resume:
        raise BadOption(f"{options.out} holds a checkpoint; resume it with --resume, or choose another folder")
    if options.threads is not None:
        torch.set_num_threads(options.threads)


# The type of a task's batches is the one that its loss takes. A table of several targets cannot express that.
Target = Callable[[TrainConfig, Pictures, RunOptions, ProcessGroup], TrainingTask[Any]]


def _postprocess_task(
    config: TrainConfig, pictures: Pictures, options: RunOptions, processes: ProcessGroup
) -> TrainingTask[Any]:
    return TrainingTask(
        network=build(*config.postprocess_network),
        batches=(
            _device_batches(pictures, config, options, processes).plain_from
            if codes_on_device(config, options)
            else partial(batches, pictures, *_process_share(config, options, processes))
        ),
        loss=partial(postprocess_loss, loss=config.loss, drift_weight=config.drift_weight),
        validate=PostprocessValidation(pictures, config, options.device, bfloat16=options.bfloat16),
    )


def _joint_task(
    config: TrainConfig, pictures: Pictures, options: RunOptions, processes: ProcessGroup
) -> TrainingTask[Any]:
    if codes_on_device(config, options):
        device = _device_batches(pictures, config, options, processes)
        made, loss = device.joint_from, JointLoss(config, device.codec)
    else:
        made, loss = partial(joint_batches, pictures, *_process_share(config, options, processes)), JointLoss(config)
    return TrainingTask(
        network=JointNetworks(config),
        batches=made,
        loss=loss,
        validate=JointValidation(pictures, config, options.device, bfloat16=options.bfloat16),
    )


def _published_task(
    config: TrainConfig, pictures: Pictures, options: RunOptions, processes: ProcessGroup
) -> TrainingTask[Any]:
    assert config.schedule is not None
    return TrainingTask(
        network=PublishedNetworks(width=config.channels),
        batches=partial(grey_batches, pictures, *_process_share(config, options, processes)),
        loss=AlternatingLoss(config.schedule),
        validate=AlternatingValidation(pictures, config, options.device),
    )


def _virtual_task(
    config: TrainConfig, pictures: Pictures, options: RunOptions, processes: ProcessGroup
) -> TrainingTask[Any]:
    return TrainingTask(
        network=VirtualCodecNetworks(config),
        batches=partial(virtual_batches, pictures, *_process_share(config, options, processes)),
        loss=VirtualLoss(config),
        validate=VirtualValidation(pictures, config, options.device, bfloat16=options.bfloat16),
    )


def _codecs_task(
    config: TrainConfig, pictures: Pictures, options: RunOptions, processes: ProcessGroup
) -> TrainingTask[Any]:
    return TrainingTask(
        network=build(*config.postprocess_network),
        batches=partial(codecs_batches, pictures, *_process_share(config, options, processes)),
        loss=partial(postprocess_loss, loss=config.loss, drift_weight=config.drift_weight),
        validate=CodecsValidation(pictures, config, options.device, bfloat16=options.bfloat16),
    )


TARGETS: Final[Mapping[str, Target]] = {
    "postprocess": _postprocess_task,
    "joint": _joint_task,
    "paper": _published_task,
    "virtual": _virtual_task,
    "codecs": _codecs_task,
}


def codes_on_device(config: TrainConfig, options: RunOptions) -> bool:
    """True if a run's crops are cut and coded on its device. Raises `BadOption` if the recipe does not allow it."""
    is_able = config.target in ("postprocess", "joint") and not config.drawings_share
    if options.codec == "device" and not is_able:
        raise BadOption(f"--codec device needs a JPEG recipe without drawings; use --codec host for {config.name}")
    return is_able and (options.codec == "device" or (options.codec == "auto" and options.device.startswith("cuda")))


def _device_batches(
    pictures: Pictures, config: TrainConfig, options: RunOptions, processes: ProcessGroup
) -> DeviceBatches:
    shared, seed = _process_share(config, options, processes)
    return DeviceBatches(pictures, shared, DeviceCodec(options.device), seed)


def _process_share(config: TrainConfig, options: RunOptions, processes: ProcessGroup) -> tuple[TrainConfig, int]:
    """Recipe with this process's share of the batch, and this process's seed."""
    return replace(config, batch=processes.share(config.batch)), processes.seed(options.seed)


def _initial_weights(config: TrainConfig, request: TrainRequest) -> dict[str, Tensor] | None:
    """Initial weights from a run, a model or a weights folder, renamed for this target; None without `start_from`.

    Post-processing weights are used for every network of that shape.
    """
    if request.start_from is None:
        return None
    if is_model(request.start_from) or is_weights_folder(request.start_from):
        weights = _model_weights(request.start_from, config)
    else:
        path = request.start_from / CHECKPOINT if request.start_from.is_dir() else request.start_from
        weights = load_average(path)
    if config.target in ("postprocess", "codecs") and tensors_under("postprocess.", weights):
        return tensors_under("postprocess.", weights)
    if config.target == "joint" and not tensors_under("postprocess.", weights):
        return {f"postprocess.{name}": value for name, value in weights.items()}
    if config.target == "virtual" and not tensors_under("virtual_codec.", weights):
        restoring = tensors_under("postprocess.", weights) or weights
        weights = {name: value for name, value in weights.items() if name.startswith("description.")}
        weights |= {f"{role}.{name}": v for role in ("postprocess", "virtual_codec") for name, v in restoring.items()}
    return weights


def _model_weights(folder: Path, config: TrainConfig) -> dict[str, Tensor]:
    """Weights of a model's networks of the recipe's scale, named as in a joint run."""
    roles = ("description", "postprocess") if config.target in ("joint", "virtual") else ("postprocess",)
    loaded = {role: load_network(folder, f"{role}-{config.scale}") for role in roles}
    return {f"{role}.{name}": value for role, weights in loaded.items() for name, value in weights.items()}
