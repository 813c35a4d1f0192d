"""Benchmark of restoring: time of its parts, and ways to reduce it.

python -m benchmarks.restoring PHOTOS --report docs/restoring.md

One thread. Times each convolution of the default model's post-processing at 768 x 512 pixels as the engine computes it
and in other ways, 8-bit integers among them; whole networks in other forms, widths, depths and resolutions; and counts
the flat tiles of photographs. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from benchmarks.rates import pictures
from benchmarks.restoring.convolutions import LayerTimes, layer_times, layers_of
from benchmarks.restoring.flat_tiles import flat_tiles
from benchmarks.restoring.forms import form_times
from benchmarks.restoring.page import Figures, page
from benchmarks.restoring.timing import medians_s
from benchmarks.restoring.variants import variant_times
from virtual_codec.codec import open_codec
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.runner import Network, Processor
from virtual_codec.store import ModelStore, default_model_store

SIDES: Final = (64, 128, 256)
QUALITIES: Final = (10, 30, 60)
_NETWORK: Final = "postprocess-{}"


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """Post-processing network of a scale with a picture of its input's size, in the engine's precision."""

    network: Network
    picture: Tensor
    vector: Tensor


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write or print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, help="folder of photographs, of which the middle 512 x 384 pixels are used"
    )
    parser.add_argument("--model-store", type=Path, default=default_model_store())
    parser.add_argument(
        "--pictures", type=int, default=8, help="number of pictures, evenly spread over the folder (default 8)"
    )
    parser.add_argument("--size", type=int, nargs=2, default=(512, 768), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument(
        "--rounds", type=int, default=7, help="repetitions of each measurement, of which the median counts (default 7)"
    )
    parser.add_argument("--qualities", type=int, nargs="+", default=QUALITIES)
    parser.add_argument("--report", type=Path, help="Markdown file to write (default: stdout)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    store, processor = ModelStore(given.model_store, tolerant=True), Processor(threads=1)
    height, width = given.size
    precision = getattr(torch, processor.notes["precision"])
    loaded = {scale: _load(processor, store, scale, (height, width)) for scale in store.default.scales}
    sources = list(pictures(given.folder, given.pictures))
    text = page(
        Figures(
            size=(height, width),
            precision=processor.notes["precision"],
            pictures=len(sources),
            folder=given.folder.name,
            network_s={scale: _network_s(it, given.rounds) for scale, it in loaded.items()},
            layers={scale: _layers(it, precision, given.rounds) for scale, it in loaded.items()},
            forms={scale: form_times(*_run(it), given.rounds) for scale, it in loaded.items()},
            variants=variant_times((height, width), precision, given.rounds),
            halo=max(it.network.radius for it in loaded.values()),
            flat=flat_tiles(open_codec(given.model_store, threads=1), sources, given.qualities, SIDES),
        )
    )
    if given.report:
        given.report.write_text(text)
    else:
        print(text)
    return 0


def _load(processor: Processor, store: ModelStore, scale: int, size: tuple[int, int]) -> _Loaded:
    network = processor.prepare(store, store.default, _NETWORK.format(scale))
    height, width = (side // scale // network.multiple * network.multiple for side in size)
    weights = next(network.module.parameters())
    picture = torch.rand(1, 3, height, width).contiguous(memory_format=torch.channels_last)
    return _Loaded(network=network, picture=picture, vector=torch.rand(1, CONDITION_SIZE, dtype=weights.dtype))


def _run(loaded: _Loaded) -> tuple[torch.nn.Module, Tensor, Tensor]:
    return loaded.network.module, loaded.picture, loaded.vector


def _network_s(loaded: _Loaded, rounds: int) -> float:
    module, picture, vector = _run(loaded)
    with torch.inference_mode():
        return medians_s({"all": lambda: module(picture, vector)}, rounds)["all"]


def _layers(loaded: _Loaded, precision: torch.dtype, rounds: int) -> list[LayerTimes]:
    return [layer_times(layer, precision, rounds) for layer in layers_of(*_run(loaded))]


if __name__ == "__main__":
    raise SystemExit(main())
