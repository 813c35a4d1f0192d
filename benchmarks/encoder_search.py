"""Search of the JPEG encoder's settings: BD-rate of each against libjpeg-turbo, without a network.

    python -m benchmarks.encoder_search PICTURES --report docs/encoder.md

One setting at a time differs from its default. A picture consists of six training crops, so that headers have the same
weight as in ordinary files. Test pictures are not used, because settings are chosen here.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import metrics
from virtual_codec.codecs import Blocks, JpegSettings
from virtual_codec.codecs.jpeg import analyse, decode, encode_blocks

Pixels = NDArray[np.uint8]
Curve = NDArray[np.float64]  # [points, 4]: bits per pixel, PSNR, PSNR of luma, MS-SSIM in dB

CROP = 192
ANCHOR_QUALITIES = (1, 3, 5, 9, 16, 30, 55, 80)
STEPS = (11, 17, 27, 43, 68, 110, 170)
RATES_BPP = (0.1, 1.0)
METRICS = ("RGB-PSNR", "Y-PSNR", "MS-SSIM")

SEARCH: dict[str, tuple[float, ...]] = {
    "trellis": (0.0, 0.02, 0.035, 0.08, 0.12),
    "chroma_trellis": (0.2, 0.35, 0.8),
    "masking": (0.0, 0.1, 0.35),
    "luma_exponent": (0.0, 0.3, 0.5, 1.0),
    "luma_dc": (0.7, 1.0),
    "chroma_exponent": (0.0, 0.25, 0.75),
    "chroma_ratio": (0.5, 1.0, 1.4),
    "passes": (1, 3),
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Picture with its DCT blocks and anchor curve, computed once for all settings."""

    picture: Pixels
    blocks: Blocks
    anchor: Curve


@dataclass(frozen=True, kw_only=True)
class Row:
    """Mean BD-rates of a setting in percent, by `METRICS`, and its encoding time."""

    name: str
    savings: tuple[float, ...]
    encode_ms: float  # processor milliseconds per megapixel


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help=f"folder of WebP pictures of at least {CROP} x {CROP} pixels")
    parser.add_argument("--pictures", type=int, default=8, help="number of pictures of six crops each (default 8)")
    parser.add_argument("--report", type=Path, help="Markdown file to write (default: stdout)")
    given = parser.parse_args()
    subjects = [
        Subject(picture=picture, blocks=analyse(picture), anchor=anchor_curve(picture))
        for picture in pictures(given.folder, given.pictures)
    ]
    rows = []
    for row in search(subjects):
        print(_line(row), file=sys.stderr, flush=True)
        rows.append(row)
    report = _report(rows, given.pictures)
    if given.report:
        given.report.write_text(report)
    else:
        print(report)
    return 0


def pictures(folder: Path, count: int) -> Iterator[Pixels]:
    """Pictures [384, 576, 3] of 2 x 3 crops each, drawn with a fixed seed."""
    paths = sorted(folder.glob("*.webp"))
    if len(paths) < 6 * count:
        raise SystemExit(f"{count} pictures need {6 * count} crops; {folder} has {len(paths)}")
    drawn = [paths[i] for i in np.random.default_rng(7).permutation(len(paths))[: 6 * count]]
    for first in range(0, len(drawn), 6):
        crops = [np.asarray(Image.open(path).convert("RGB"))[:CROP, :CROP] for path in drawn[first : first + 6]]
        yield np.concatenate([np.concatenate(crops[:3], axis=1), np.concatenate(crops[3:], axis=1)])


def search(subjects: list[Subject]) -> Iterator[Row]:
    """Rows of the defaults, then of each setting at each of its values."""
    yield measured("defaults", subjects)
    for name, values in SEARCH.items():
        for value in values:
            yield measured(f"{name} {value:g}", subjects, **{name: value})


def measured(row_name: str, subjects: list[Subject], **changed: float) -> Row:
    """Row of the default settings with some of them changed."""
    savings: list[list[float]] = [[] for _ in METRICS]
    encode_s, pixels = 0.0, 0
    for subject in subjects:
        points = []
        for step in STEPS:
            start = time.process_time()
            stream = encode_blocks(subject.blocks, JpegSettings(step=step, **changed))  # type: ignore[arg-type]
            encode_s += time.process_time() - start
            pixels += subject.picture[..., 0].size
            points.append(_point(subject.picture, stream))
        curve = np.array(points)
        for index, saving in enumerate(savings):
            columns = [0, 1 + index]
            saving.append(metrics.bd_rate(subject.anchor[:, columns], curve[:, columns], *RATES_BPP))
    return Row(
        name=row_name,
        savings=tuple(float(np.mean(saving)) for saving in savings),
        encode_ms=1e9 * encode_s / pixels,
    )


def anchor_curve(picture: Pixels) -> Curve:
    """Curve of libjpeg-turbo: 4:2:0, baseline, optimised Huffman codes."""
    points = []
    for quality in ANCHOR_QUALITIES:
        saved = io.BytesIO()
        Image.fromarray(picture).save(saved, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
        points.append(_point(picture, saved.getvalue()))
    return np.array(points)


def _point(picture: Pixels, stream: bytes) -> tuple[float, ...]:
    shown = decode(stream)
    return (
        8 * len(stream) / picture[..., 0].size,
        metrics.psnr(picture, shown),
        metrics.psnr_y(picture, shown),
        metrics.similarity_db(metrics.ms_ssim(picture, shown)),
    )


def _line(row: Row) -> str:
    return " | ".join([row.name, *(f"{saving:+.1f}" for saving in row.savings), f"{row.encode_ms:.0f}"])


def _report(rows: list[Row], count: int) -> str:
    default = JpegSettings(step=STEPS[0])
    values = ", ".join(f"`{name}` {getattr(default, name):g}" for name in SEARCH)
    table = "\n".join(f"| {_line(row)} |" for row in rows)
    return f"""# Gain of each setting of the encoder

This page is for those who change the encoder: what each of its settings gains and costs, one at a time.

BD-rate in percent against libjpeg-turbo (4:2:0, baseline, optimised Huffman codes) from {RATES_BPP[0]:g} to \
{RATES_BPP[1]:g} bits per
pixel, **without any network**: mean of {count} pictures of six training crops each (384 x 576 pixels). One setting at a
time is moved from its default. The last column is quantising and writing, in processor-milliseconds for a megapixel,
mean of steps {STEPS[0]} to {STEPS[-1]}; colour conversion, subsampling and DCT take about 11 more.

Defaults: {values}.

| setting | {" | ".join(METRICS)} | ms |
|---|{"--:|" * (len(METRICS) + 1)}
{table}

Made by `python -m benchmarks.encoder_search FOLDER --report docs/encoder.md`.

## What to conclude

The trellis matters most. Change a default only for a value that is better in all three measures: most settings
trade one measure for another.
"""


if __name__ == "__main__":
    raise SystemExit(main())
