"""Measurement of the variants: a row of points.csv for each test picture and codec step."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ablation.training import networks_of
from benchmarks.ablation.variants import FULL_SIZE, VARIANTS, reduced
from virtual_codec.codecs import JpegSettings
from virtual_codec.evaluation.pictures import Picture
from virtual_codec.evaluation.points import Point, similarity
from virtual_codec.networks import shrink
from virtual_codec.training.checkpoint import CHECKPOINT, load_average
from virtual_codec.training.coding import condition_of_settings
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.samples import through_codec
from virtual_codec.training.virtual import VirtualCodecNetworks

STEPS: Final = (9.0, 15.0, 25.0, 42.0, 70.0, 100.0, 140.0)  # means of the luma table
PICTURED_STEP: Final = 42.0

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Point, and the PSNR of its description against the Lanczos thumbnail, in dB."""

    point: Point
    thumbnail_db: float


def load_networks(name: str, runs: Path, full_size: Path | None) -> VirtualCodecNetworks:
    """Networks of a variant: trained ones, plain filters if it is not trained, or those of a run of `FULL_SIZE`."""
    variant = (VARIANTS | FULL_SIZE)[name]
    if variant.run:
        assert full_size is not None
        folder = full_size / variant.run
        network = VirtualCodecNetworks(RECIPES[variant.run](), variant.described())
        weights = load_average(folder / CHECKPOINT)
        if RECIPES[variant.run]().target == "postprocess":
            weights = {f"postprocess.{key}": value for key, value in weights.items()}
        own = network.state_dict()
        network.load_state_dict(own | {key: value for key, value in weights.items() if key in own})
    else:
        network = networks_of(name, reduced(name))
        if variant.route != "none":
            network.load_state_dict(network.state_dict() | load_average(runs / name / CHECKPOINT))
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@torch.no_grad()
def describe(network: VirtualCodecNetworks, pixels: Pixels, step: float) -> tuple[Pixels, Pixels]:
    """Description of a picture [h, w, 3] and its Lanczos thumbnail, both at half size, rounded."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    height, width = pixels.shape[:2]
    image = torch.nn.functional.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
    vector = torch.from_numpy(condition_of_settings(JpegSettings(step=step)))[None]
    described: Tensor = network.description(
        image, vector
    )  # without autocast: in bfloat16 the plain filter would be wrong by a level
    return _bytes(described.float()), _bytes(shrink(image))


@torch.no_grad()
def measure(network: VirtualCodecNetworks, name: str, picture: Picture, pixels: Pixels, step: float) -> Measured:
    """Measure one picture through the real chain."""
    described, thumbnail = describe(network, pixels, step)
    decoded, vector, size = through_codec(described, JpegSettings(step=step))
    shown = torch.from_numpy(np.array(decoded)).permute(2, 0, 1)[None].float() / 255
    with torch.autocast("cpu", torch.bfloat16):
        restored: Tensor = network.postprocess(shown, torch.from_numpy(vector)[None])
    height, width = pixels.shape[:2]
    alike = similarity(pixels, _bytes(restored.float())[:height, :width])
    point = Point(
        set=picture.set,
        image=picture.name,
        codec=name,
        setting=step,
        width=width,
        height=height,
        bytes=size,
        scale=2,
        model="",
        compress_s=0.0,
        restore_s=0.0,
        **vars(alike),
    )
    error = np.square(described.astype(np.float64) - thumbnail).mean()
    return Measured(point=point, thumbnail_db=float(10 * np.log10(255**2 / max(error, 1e-3))))


def measure_all(name: str, runs: Path, full_size: Path | None, pictures: Sequence[Picture], journal: Path) -> None:
    """Measure a variant on all pictures that the journal does not hold."""
    done = {(it.point.set, it.point.image, it.point.setting) for it in read(journal) if it.point.codec == name}
    if all((picture.set, picture.name, step) in done for picture in pictures for step in STEPS):
        return
    network = load_networks(name, runs, full_size)
    for picture in pictures:
        missing = [step for step in STEPS if (picture.set, picture.name, step) not in done]
        if not missing:
            continue
        pixels = picture.pixels()
        colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        append(journal, [measure(network, name, picture, colour, step) for step in missing])
        print(f"measured {name} {picture.set}/{picture.name}", flush=True)


def append(journal: Path, measured: Sequence[Measured]) -> None:
    """Append rows to points.csv."""
    new = not journal.exists()
    names = [field.name for field in fields(Point)]
    with journal.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([*names, "thumbnail_db"])
        writer.writerows([[getattr(it.point, name) for name in names] + [it.thumbnail_db] for it in measured])


def read(journal: Path) -> list[Measured]:
    """Rows of points.csv, or none if there is no such file."""
    return list(_rows(journal)) if journal.exists() else []


def _rows(journal: Path) -> Iterator[Measured]:
    texts = {"set", "image", "codec", "model"}
    counts = {"width", "height", "bytes", "scale"}
    with journal.open(newline="") as file:
        for row in csv.DictReader(file):
            thumbnail_db = float(row.pop("thumbnail_db"))
            values = {
                name: text if name in texts else int(text) if name in counts else float(text) if text else None
                for name, text in row.items()
            }
            yield Measured(point=Point(**values), thumbnail_db=thumbnail_db)  # type: ignore[arg-type]


def _bytes(pictures: Tensor) -> Pixels:
    return np.ascontiguousarray((pictures[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
