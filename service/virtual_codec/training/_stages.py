"""What each kind of recipe trains, and how it is measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from virtual_codec.codecs import JpegSettings
from virtual_codec.errors import BadOption
from virtual_codec.networks import PostprocessNet, enlarge
from virtual_codec.training import TrainReport, TrainRequest
from virtual_codec.training.alternating import AlternatingLoss, AlternatingValidation, Trio, grey_batches
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, under
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.joint import JointLoss, JointValidation, Pair, joint_batches
from virtual_codec.training.loop import LoopOptions, run
from virtual_codec.training.losses import LOSSES, mean_psnr
from virtual_codec.training.parallel import Team, team
from virtual_codec.training.samples import Batch, batches, collate, shrink_pixels, through_codec
from virtual_codec.training.virtual import ColourTrio, VirtualLoss, VirtualValidation, virtual_batches

VALIDATION_STEPS: Final = (10.0, 30.0, 60.0)

# Batches are of the loss that takes them, target by target: the table cannot say so.
Parts = tuple[
    nn.Module,
    Callable[[nn.Module, Any], Tensor],
    Callable[[Pictures, TrainConfig, int, int], Iterator[Any]],
    Callable[[nn.Module], dict[str, float]],
]


def run_stage(config: TrainConfig, request: TrainRequest) -> TrainReport:
    """Train what the recipe's target names."""
    pictures = Pictures(request.data, smallest=config.crop)
    with team(request.device) as (own_team, device):
        torch.manual_seed(request.seed)
        return train_parts(config, replace(request, device=device), _PARTS[config.target], pictures, own_team)


def train_parts(
    config: TrainConfig,
    request: TrainRequest,
    make_parts: Callable[[TrainConfig, Pictures, TrainRequest], Parts],
    pictures: Pictures,
    own_team: Team,
) -> TrainReport:
    """Train what `make_parts` makes; a team shares the recipe's batch."""
    request.out.mkdir(parents=True, exist_ok=True)
    if (request.out / CHECKPOINT).exists() and not request.resume:
        raise BadOption(f"{request.out} holds a checkpoint; go on with --resume, or choose another folder")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    network, loss, source, validate = make_parts(config, pictures, request)
    options = LoopOptions(
        out=request.out,
        seed=request.seed,
        device=request.device,
        resume=request.resume,
        time_limit_s=request.time_limit_s,
        initial=_initial(config, request),
        show_progress=request.show_progress,
        bfloat16=request.bfloat16,
        compiled=request.compiled,
        tensorboard=request.tensorboard,
        save_every_s=request.save_every_s,
        team=own_team,
    )
    shared = replace(config, batch=own_team.share(config.batch))
    own_batches = partial(source, pictures, shared, own_team.seed(request.seed))
    progress = run(config, options, network, own_batches, loss, validate)
    return TrainReport(
        recipe=config.name,
        step=progress.step,
        steps=config.steps,
        seconds=progress.seconds,
        interrupted=options.interrupt.requested and progress.step < config.steps,
    )


def postprocess_loss(network: nn.Module, batch: Batch, *, loss: str = "charbonnier") -> Tensor:
    """How far the restored pictures are from the originals, by one of `LOSSES`."""
    restored: Tensor = network(batch.decoded, batch.condition)
    return LOSSES[loss](restored.float(), batch.image)


@final
class Validation:
    """PSNR on held-out crops at three codec steps: the plain filter's, and what the network adds to it.

    `bfloat16` is for what the network computes.
    """

    def __init__(self, pictures: Pictures, config: TrainConfig, device: str, *, bfloat16: bool = True) -> None:
        self._scale = config.scale
        self._device = device
        self._bfloat16 = bfloat16
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
            measured[f"plain_{step:g}"] = plain
            measured[f"gain_{step:g}"] = mean_psnr(self._restored(network, batch), batch.image) - plain
        return measured

    def rows(self, network: nn.Module) -> list[Tensor]:
        """What a sample sheet shows: originals, decoded and restored at the coarsest step."""
        batch = self._batches[VALIDATION_STEPS[-1]]
        return [batch.image, batch.decoded, self._restored(network, batch)]

    def _restored(self, network: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=self._bfloat16):
            restored: Tensor = network(batch.decoded.to(self._device), batch.condition.to(self._device))
        return restored.float().cpu()


def _postprocess(config: TrainConfig, pictures: Pictures, request: TrainRequest) -> Parts:
    validate = Validation(pictures, config, request.device, bfloat16=request.bfloat16)
    network = PostprocessNet(scale=config.scale, channels=config.channels, blocks=config.blocks)
    return network, partial(postprocess_loss, loss=config.loss), batches, validate


def _joint(config: TrainConfig, pictures: Pictures, request: TrainRequest) -> Parts:
    validate = JointValidation(pictures, config, request.device, bfloat16=request.bfloat16)
    return Pair(config), JointLoss(config), joint_batches, validate


def _paper(config: TrainConfig, pictures: Pictures, request: TrainRequest) -> Parts:
    assert config.alternation is not None
    validate = AlternatingValidation(pictures, config, request.device)
    return Trio(width=config.channels), AlternatingLoss(config.alternation), grey_batches, validate


def _virtual(config: TrainConfig, pictures: Pictures, request: TrainRequest) -> Parts:
    validate = VirtualValidation(pictures, config, request.device, bfloat16=request.bfloat16)
    return ColourTrio(config), VirtualLoss(config), virtual_batches, validate


_PARTS: Final[Mapping[str, Callable[[TrainConfig, Pictures, TrainRequest], Parts]]] = {
    "postprocess": _postprocess,
    "joint": _joint,
    "paper": _paper,
    "virtual": _virtual,
}


def _initial(config: TrainConfig, request: TrainRequest) -> dict[str, Tensor] | None:
    """The weights another run's networks begin with: a post-processing network's become those of all its shape."""
    if request.start_from is None:
        return None
    path = request.start_from / CHECKPOINT if request.start_from.is_dir() else request.start_from
    weights = load_average(path)
    if config.target == "postprocess" and under("postprocess.", weights):
        return under("postprocess.", weights)
    if config.target == "joint" and not under("postprocess.", weights):
        return {f"postprocess.{name}": value for name, value in weights.items()}
    if config.target == "virtual" and not under("virtual_codec.", weights):
        restoring = under("postprocess.", weights) or weights
        weights = {name: value for name, value in weights.items() if name.startswith("description.")}
        weights |= {f"{role}.{name}": v for role in ("postprocess", "virtual_codec") for name, v in restoring.items()}
    return weights
