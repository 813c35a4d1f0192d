"""What each kind of recipe trains, and how it is measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, final

import torch
from torch import Tensor, nn

from service.codecs import JpegSettings
from service.errors import BadOption
from service.networks import PostprocessNet, enlarge
from service.training import TrainReport, TrainRequest
from service.training.checkpoint import CHECKPOINT, load_average
from service.training.data import Pictures
from service.training.joint import JointLoss, JointValidation, Pair, joint_batches
from service.training.loop import LoopOptions, Loss, run
from service.training.losses import LOSSES, mean_psnr
from service.training.recipes import TrainConfig
from service.training.samples import Batch, batches, collate, shrink_pixels, through_codec

VALIDATION_STEPS: Final = (10.0, 30.0, 60.0)

_Parts = tuple[
    nn.Module,
    Loss,
    Callable[..., Iterator[Batch]],
    Callable[[nn.Module], dict[str, float]],
]


def run_stage(config: TrainConfig, request: TrainRequest) -> TrainReport:
    """Train what the recipe's target names."""
    request.out.mkdir(parents=True, exist_ok=True)
    if (request.out / CHECKPOINT).exists() and not request.resume:
        raise BadOption(f"{request.out} holds a checkpoint; go on with --resume, or choose another folder")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    pictures = Pictures(request.data, smallest=config.crop)
    network, loss, source, validate = _PARTS[config.target](config, pictures, request.device)
    options = LoopOptions(
        out=request.out,
        seed=request.seed,
        device=request.device,
        resume=request.resume,
        time_limit_s=request.time_limit_s,
        initial=_initial(config, request),
        show_progress=request.show_progress,
    )
    progress = run(config, options, network, partial(source, pictures, config, request.seed), loss, validate)
    return TrainReport(recipe=config.name, step=progress.step, steps=config.steps, seconds=progress.seconds)


def postprocess_loss(network: nn.Module, batch: Batch, *, loss: str = "charbonnier") -> Tensor:
    """How far the restored pictures are from the originals, by one of `LOSSES`."""
    restored: Tensor = network(batch.decoded, batch.condition)
    return LOSSES[loss](restored.float(), batch.image)


@final
class Validation:
    """PSNR on held-out crops at three codec steps: the plain filter's, and what the network adds to it."""

    def __init__(self, pictures: Pictures, config: TrainConfig, device: str) -> None:
        self._scale = config.scale
        self._device = device
        self._batches: dict[float, Batch] = {}
        for step in VALIDATION_STEPS:
            samples = []
            for image in pictures.held_out_crops(config.crop, most=48):
                decoded, vector, _ = through_codec(shrink_pixels(image, config.scale), JpegSettings(step=step))
                samples.append((decoded, image, vector))
            self._batches[step] = collate(samples)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """The mean over the crops, in dB."""
        measured = {}
        for step, batch in self._batches.items():
            plain = mean_psnr(enlarge(batch.decoded, self._scale), batch.image)
            with torch.autocast(self._device, torch.bfloat16):
                restored = network(batch.decoded.to(self._device), batch.condition.to(self._device))
            measured[f"plain_{step:g}"] = plain
            measured[f"gain_{step:g}"] = mean_psnr(restored.float().cpu(), batch.image) - plain
        return measured


def _postprocess(config: TrainConfig, pictures: Pictures, device: str) -> _Parts:
    network = PostprocessNet(scale=config.scale, channels=config.channels, blocks=config.blocks)
    return network, partial(postprocess_loss, loss=config.loss), batches, Validation(pictures, config, device)


def _joint(config: TrainConfig, pictures: Pictures, device: str) -> _Parts:
    return Pair(config), JointLoss(config), joint_batches, JointValidation(pictures, config, device)


_PARTS: Final[Mapping[str, Callable[[TrainConfig, Pictures, str], _Parts]]] = {
    "postprocess": _postprocess,
    "joint": _joint,
}


def _initial(config: TrainConfig, request: TrainRequest) -> dict[str, Tensor] | None:
    """The weights another run's networks begin with: a post-processing network's become the pair's."""
    if request.start_from is None:
        return None
    path = request.start_from / CHECKPOINT if request.start_from.is_dir() else request.start_from
    weights = load_average(path)
    if config.target == "joint" and not any(name.startswith("postprocess.") for name in weights):
        return {f"postprocess.{name}": value for name, value in weights.items()}
    return weights
