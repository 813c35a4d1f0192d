"""What each kind of recipe trains, and how it is measured on the way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from service.codecs import JpegSettings
from service.networks import PostprocessNet, enlarge
from service.training import TrainReport, TrainRequest
from service.training.checkpoint import CHECKPOINT
from service.errors import BadOption
from service.training.data import Pictures
from service.training.loop import LoopOptions, run
from service.training.losses import charbonnier, mean_psnr
from service.training.recipes import TrainConfig
from service.training.samples import Batch, batches, collate, shrink_pixels, through_codec

_VALIDATION_STEPS = (10.0, 30.0, 60.0)


def run_stage(config: TrainConfig, request: TrainRequest) -> TrainReport:
    """Train what the recipe's target names."""
    request.out.mkdir(parents=True, exist_ok=True)
    if (request.out / CHECKPOINT).exists() and not request.resume:
        raise BadOption(f"{request.out} holds a checkpoint; go on with --resume, or choose another folder")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    pictures = Pictures(request.data, smallest=config.crop)
    options = LoopOptions(
        out=request.out,
        seed=request.seed,
        device=request.device,
        resume=request.resume,
        time_limit_s=request.time_limit_s,
        start_from=request.start_from,
        show_progress=request.show_progress,
    )
    network = PostprocessNet(scale=config.scale, channels=config.channels, blocks=config.blocks)
    source = partial(_from_step, pictures, config, request.seed)
    validate = Validation(pictures, config, request.device)
    progress = run(config, options, network, source, postprocess_loss, validate)
    return TrainReport(recipe=config.name, step=progress.step, steps=config.steps, seconds=progress.seconds)


def postprocess_loss(network: nn.Module, batch: Batch) -> Tensor:
    """How far the restored pictures are from the originals."""
    restored: Tensor = network(batch.decoded, batch.condition)
    return charbonnier(restored.float(), batch.image)


class Validation:
    """PSNR on held-out crops at three codec steps: plain filter's, and what the network adds to it."""

    def __init__(self, pictures: Pictures, config: TrainConfig, device: str) -> None:
        self.scale = config.scale
        self.device = device
        self.batches: dict[float, Batch] = {}
        for step in _VALIDATION_STEPS:
            samples = []
            for image in pictures.held_out_crops(config.crop, most=48):
                decoded, vector, _ = through_codec(shrink_pixels(image, config.scale), JpegSettings(step=step))
                samples.append((decoded, image, vector))
            self.batches[step] = collate(samples)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        measured = {}
        for step, batch in self.batches.items():
            plain = mean_psnr(enlarge(batch.decoded, self.scale), batch.image)
            with torch.autocast(self.device, torch.bfloat16):
                restored = network(batch.decoded.to(self.device), batch.condition.to(self.device))
            measured[f"plain_{step:g}"] = plain
            measured[f"gain_{step:g}"] = mean_psnr(restored.float().cpu(), batch.image) - plain
        return measured


def _from_step(pictures: Pictures, config: TrainConfig, seed: int, step: int) -> Iterator[Batch]:
    return batches(pictures, config, seed=seed, start=step)
