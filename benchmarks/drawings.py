"""Post-processing of drawings by several models: PSNR, and the share of flat samples that makes the encoder try them.

python -m benchmarks.drawings standard-3 standard-3-drawings --photographs PHOTOS

The drawings are rendered from a seed that no training uses. Each is coded without a description network, at the
settings of the encoder. PHOTOS is a training folder, whose held-out crops are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image

from benchmarks.rates import Pixels
from virtual_codec import bitstream
from virtual_codec.codec.model import ModelNetworks, condition_of, lanczos_reduced, plain_restore
from virtual_codec.codec.restorer_choice import flat_share
from virtual_codec.codecs import CODECS, description_settings
from virtual_codec.metrics import psnr
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store
from virtual_codec.training.data import Pictures
from virtual_codec.training.drawings import drawing

STEPS: Final = (6, 12, 24, 48)
MODES: Final[tuple[tuple[int, Literal["420", "444"]], ...]] = ((1, "420"), (1, "444"), (2, "420"))
_SIDE: Final = 192
_SEED: Final = 987654
_PERCENTILES: Final = (5, 25, 50, 75, 95)


def rendered(count: int) -> list[Pixels]:
    """Drawings [192, 192, 3] of random kinds."""
    random = np.random.default_rng(_SEED)
    return [drawing(random, _SIDE) for _ in range(count)]


def rows(models: Sequence[ModelNetworks], pictures: Sequence[Pixels]) -> Iterator[tuple[str, ...]]:
    """Rows of a table: scale, subsampling, step, mean bits per pixel, mean PSNR as decoded and by each model."""
    chroma_dc = models[0].manifest.encoder.chroma_dc
    for scale, subsampling in MODES:
        for step in STEPS:
            settings = description_settings(scale, step, subsampling=subsampling, chroma_dc=chroma_dc)
            rates, plain = [], []
            restored: list[list[float]] = [[] for _ in models]
            for picture in pictures:
                stream = CODECS["jpeg"].encode(lanczos_reduced(picture, scale), settings)
                decoded = CODECS["jpeg"].decode(stream)
                vector = condition_of(bitstream.layout(stream), own=True)
                rates.append(8 * len(stream) / _SIDE**2)
                plain.append(psnr(plain_restore(decoded, scale), picture))
                for model, values in zip(models, restored, strict=True):
                    values.append(psnr(model.restore(decoded, scale, vector), picture))
            means = (f"{np.mean(values):.2f}" for values in (plain, *restored))
            yield str(scale), subsampling, str(step), f"{np.mean(rates):.2f}", *means


def flat_shares(pictures: Sequence[Pixels]) -> tuple[str, ...]:
    """Percentiles 5, 25, 50, 75 and 95 of the share of flat samples."""
    return tuple(f"{value:.2f}" for value in np.percentile([flat_share(each) for each in pictures], _PERCENTILES))


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names or ids; the first model gives the encoder's parameters")
    parser.add_argument("--model-store", type=Path, default=default_model_store())
    parser.add_argument("--count", type=int, default=32, help="number of drawings (default 32)")
    parser.add_argument("--photographs", type=Path, help="training folder, for the flat shares of photographs")
    given = parser.parse_args(argv)
    store, runner = ModelStore(given.model_store, tolerant=True), DirectRunner()
    models = [ModelNetworks(store, store.get(name), runner) for name in given.models]
    pictures = rendered(given.count)
    _print_table(("scale", "chroma", "step", "bpp", "decoded", *given.models), rows(models, pictures))
    shares = [("drawings", *flat_shares(pictures))]
    if given.photographs:
        crops = Pictures(given.photographs, smallest=_SIDE, only_held_out=True).held_out_crops(_SIDE, most=60)
        shares += [("photographs", *flat_shares(crops)), ("the same, enlarged", *flat_shares(_enlarged(crops)))]
    print()
    _print_table(("share of flat samples", *(f"{percentile} %" for percentile in _PERCENTILES)), shares)
    return 0


def _enlarged(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Middles of pictures, enlarged by two."""
    quarter = _SIDE // 4
    middles = (picture[quarter : 3 * quarter, quarter : 3 * quarter] for picture in pictures)
    return [np.asarray(Image.fromarray(each).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)) for each in middles]


def _print_table(head: Sequence[str], table: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> None:
    for line in (head, ["---", *["--:"] * (len(head) - 1)]):
        print(f"| {' | '.join(line)} |")
    for row in table:
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
