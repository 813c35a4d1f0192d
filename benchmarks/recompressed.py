"""Double-compressed JPEGs: detection rate, false alarms, and gain of the restored pictures.

python -m benchmarks.recompressed PICTURES --report docs/recompressed.md
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import bitstream, images, metrics
from virtual_codec.codec import foreign
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codecs import JpegSettings, quantisation_tables
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

Pixels = NDArray[np.uint8]

SIZES = ("96 x 96", "as it is", "enlarged", "four together")
# Limits on the ratio of the first table's mean to that of the second.
RATIOS = (0.72, 0.9, 1.12, 1.5, 3.0, math.inf)
PAIRS = ((30, 60), (30, 80), (50, 40), (50, 60), (50, 80), (50, 90), (75, 70), (75, 80), (75, 90), (75, 95), (90, 95))
GAIN_PICTURES = 16


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Settings of a JPEG: libjpeg's tables of a quality, or flatter ones like those of this project's encoder."""

    quality: int
    subsampling: int
    flat: bool

    def file(self, picture: Pixels) -> bytes:
        options: dict[str, Any] = {"quality": self.quality}
        if self.flat:
            step = 0.8 * (5000 / self.quality if self.quality < 50 else 200 - 2 * self.quality + 2) / 100 * 57
            tables = quantisation_tables(JpegSettings(step=max(1.0, step), luma_exponent=0.4))
            options = {"qtables": [table.ravel().tolist() for table in tables]}
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", subsampling=self.subsampling, **options)
        return file.getvalue()


def is_seen(stream: bytes) -> bool:
    return foreign.primary_luma_correction(images.decode_jpeg(images.parse_jpeg(stream))) is not None


def pictures(folder: Path, every: int) -> Iterator[tuple[str, str, Pixels]]:
    """Names, kinds of `SIZES` and pictures: in turn cropped, unchanged, enlarged, and joined with three neighbours."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".png", ".webp"})
    for index in range(0, len(paths), every):
        picture = images.decode(paths[index].read_bytes())
        size = SIZES[index // every % 4]
        if size == "96 x 96":
            picture = picture[:96, :96]
        elif size == "enlarged":
            whole = Image.fromarray(picture)
            picture = np.asarray(whole.resize((2 * whole.width, 2 * whole.height), Image.Resampling.BICUBIC))
        elif size == "four together":
            four = [images.decode(paths[(index + step) % len(paths)].read_bytes())[:192, :192] for step in range(4)]
            picture = np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])
        yield paths[index].name, size, np.asarray(Image.fromarray(picture).convert("L")) if index % 3 == 0 else picture


def draw(random: np.random.Generator, low: int, high: int) -> Saving:
    return Saving(
        quality=int(random.integers(low, high + 1)),
        subsampling=int(random.choice([0, 2])),
        flat=bool(random.random() < 0.2),
    )


def count(folder: Path, every: int, trials: int) -> list[str]:
    """Lines of the table of detection rates."""
    random = np.random.default_rng(1)
    seen: dict[tuple[str, str], list[bool]] = defaultdict(list)
    wrong: dict[str, list[int]] = defaultdict(list)
    for name, size, picture in pictures(folder, every):
        for _ in range(trials):
            once = draw(random, 5, 100)
            answer = is_seen(once.file(picture))
            seen["once", size].append(answer)
            if answer:
                wrong[name].append(once.quality)
            earlier = images.decode(draw(random, 15, 95).file(picture))
            shifted = earlier[random.integers(1, 8) :, random.integers(1, 8) :]
            seen["twice, on different block grids", size].append(is_seen(draw(random, 20, 100).file(shifted)))
            first, second = draw(random, 15, 95), draw(random, 20, 100)
            again = second.file(images.decode(first.file(picture)))
            ratio = mean_table(first.file(picture)) / mean_table(again)
            place = sum(ratio >= limit for limit in RATIOS)
            seen[f"twice, primary steps {between(place)} times the second", size].append(is_seen(again))
    rows = ["| compressed | " + " | ".join(SIZES) + " |", "|---" * (1 + len(SIZES)) + "|"]
    order = ["once", "twice, on different block grids"]
    order += [f"twice, primary steps {between(place)} times the second" for place in range(len(RATIOS))]
    for kind in order:
        cells = []
        for size in SIZES:
            answers = seen[kind, size]
            cells.append(f"{100 * sum(answers) / max(1, len(answers)):.1f} % of {len(answers)}")
        rows.append(f"| {kind} | " + " | ".join(cells) + " |")
    of = "; ".join(f"{name} at {', '.join(map(str, sorted(qualities)))}" for name, qualities in sorted(wrong.items()))
    return [*rows, "", f"False alarms: {of or 'none'}."]


def between(place: int) -> str:
    if place == 0:
        return f"less than {RATIOS[0]:g}"
    if place == len(RATIOS) - 1:
        return f"{RATIOS[-2]:g} and more"
    return f"{RATIOS[place - 1]:g} to {RATIOS[place]:g}"


def mean_table(stream: bytes) -> float:
    return float(bitstream.layout(stream).tables[0].mean())


def gains(folder: Path) -> list[str]:
    """Lines of the table of gains of the restored pictures."""
    store = ModelStore(default_model_store())
    model = ModelNetworks(store, store.default, DirectRunner())
    paths = sorted(folder.iterdir())
    rows = [
        "| first quality | second quality | original: network | shown | primary: plain decode | network | shown |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for first, second in PAIRS:
        found = []
        for path in paths[:: max(1, len(paths) // GAIN_PICTURES)][:GAIN_PICTURES]:
            original = images.decode(path.read_bytes())
            between_both = images.decode(Saving(quality=first, subsampling=2, flat=False).file(original))
            stream = Saving(quality=second, subsampling=2, flat=False).file(between_both)
            decoded, layout = images.decode(stream), bitstream.layout(stream)
            earlier = foreign.primary_luma_correction(images.decode_jpeg(images.parse_jpeg(stream)))
            network = foreign.restore(model, decoded, layout, None)
            shown = foreign.restore(model, decoded, layout, earlier)
            plain = [psnr(decoded, target) for target in (original, between_both)]
            found.append(
                (
                    psnr(network, original) - plain[0],
                    psnr(shown, original) - plain[0],
                    plain[1],
                    psnr(network, between_both) - plain[1],
                    psnr(shown, between_both) - plain[1],
                )
            )
        means = np.mean(found, axis=0)
        signed = [f"{value:{'.2f' if place == 2 else '+.2f'}}" for place, value in enumerate(means)]
        rows.append(f"| {first} | {second} | " + " | ".join(signed) + " |")
    return rows


def psnr(shown: Pixels, target: Pixels) -> float:
    return min(99.0, metrics.psnr(shown, target))


def milliseconds(folder: Path) -> tuple[float, float]:
    """Processor milliseconds per megapixel of detection, without and with a correction of the luma."""
    four = [picture for _, size, picture in pictures(folder, 8) if size == "four together" and picture.ndim == 3][:4]
    picture = np.tile(np.vstack(four), (1, 2, 1))
    spent = []
    for quality in (75, 50):  # 75: compressed once; 50: compressed at 50, then at 75
        stream = Saving(quality=75, subsampling=2, flat=False).file(picture)
        if quality == 50:
            earlier = Saving(quality=50, subsampling=2, flat=False).file(picture)
            stream = Saving(quality=75, subsampling=2, flat=False).file(images.decode(earlier))
        is_seen(stream)
        start = time.process_time()
        for _ in range(5):
            is_seen(stream)
        spent.append(1e9 * (time.process_time() - start) / 5 / (picture.shape[0] * picture.shape[1]))
    return spent[0], spent[1]


def report(folder: Path, every: int, trials: int) -> str:
    looked, found = milliseconds(folder)
    return PAGE.format(
        counted="\n".join(count(folder, every, trials)),
        gains="\n".join(gains(folder)),
        count=GAIN_PICTURES,
        looked=looked,
        found=found,
    )


PAGE = """# Double-compressed JPEGs

This page describes how double-compressed JPEGs are detected and restored, how often the detection is wrong, and what it
costs.

Many JPEGs were saved as JPEG more than once. The *primary* JPEG is the first file. Its quantisation leaves a pattern in
the second file: the coefficients are close to multiples of the primary steps, so some levels of the second quantiser
receive two of these multiples, some one, some none
([codec/primary_quantisation.py](../service/virtual_codec/codec/primary_quantisation.py)).

The post-processing network only reads the last quantisation tables. It therefore takes the primary JPEG's artefacts for
those of the last compression and smooths them away. The result is closer to the original photograph, but much further
from the picture that was compressed last. If double compression is detected, the primary JPEG's luma is recovered,
mostly exactly. The restored image is an interpolation between this luma and the network's picture. It is no further
from the primary JPEG's picture than the plain decode is
([codec/foreign.py](../service/virtual_codec/codec/foreign.py)).

## Detection rate

Crops of training photographs, every third one grey, at random qualities (5 to 100; if compressed twice: 15 to 95, then
20 to 100), 4:2:0 and 4:4:4, a fifth with other tables than libjpeg's. If the primary steps are below 0.72 times the
second ones, the network is better against both pictures, so detection does not look for them. If the steps are equal,
there is nothing to detect, because the second compression changes nothing.

{counted}

A false alarm costs most of the network's gain. (A few of the photographs came as PNG and may have been JPEGs before.)

## Gain

PSNR (RGB, dB), mean of {count} crops, gains over the plain decode of the second file, both with 4:2:0. *Original* is
measured against the original, *primary* against the primary JPEG's picture, the input of the second compression.

{gains}

## Cost

CPU time for a megapixel: {looked:.0f} ms for detection, {found:.0f} ms with recovery of the luma.

Made by `python -m benchmarks.recompressed FOLDER --report docs/recompressed.md`.

## What to conclude

Files that were compressed once lose nothing, because false alarms are rare. A file that was compressed twice is
restored close to the input of its last encoder, instead of smoother than that.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="photographs that were never a JPEG of their size")
    parser.add_argument("--report", type=Path, required=True, help="the page to write")
    parser.add_argument("--every", type=int, default=2, help="every n-th picture is compressed (default 2)")
    parser.add_argument("--trials", type=int, default=6, help="how often, in each way (default 6)")
    given = parser.parse_args(arguments)
    given.report.write_text(report(given.folder, given.every, given.trials), encoding="utf-8")


if __name__ == "__main__":
    main()
