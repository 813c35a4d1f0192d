"""Gain and cost of each effort, compared with the default effort, at a few qualities.

python -m benchmarks.effort PICTURES --report docs/effort.md
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.rates import METRICS, Curve, Pixels, pictures, point, savings
from virtual_codec import images
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.codec.effort import EFFORTS
from virtual_codec.jobs import DEFAULT_EFFORT, CompressOptions

QUALITIES = (8, 25, 50, 75)
RATES_BPP = (0.05, 2.0)

DESCRIPTIONS = (
    "the most likely mode for the image, quantised once",
    "a second pass of the quantiser",
    "and its scans optimised",
    "the other scale too if the prediction is uncertain, and 4:4:4 if halving chroma loses much",
    "the same",
    "and one round of gradient descent on the description",
    "2 rounds",
    "4 rounds",
    "8 rounds, all modes",
    "20 rounds, after trying six neighbouring settings of the encoder",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Figures of an effort, relative to the default effort: mean BD-rates in percent by `METRICS`, and time."""

    effort: int
    savings: tuple[float, ...]
    time_ratio: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of pictures, of which the middle 512 x 384 pixels are used")
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument(
        "--pictures", type=int, default=6, help="number of pictures, evenly spread over the folder (default 6)"
    )
    parser.add_argument("--efforts", type=int, nargs="*", default=range(10))
    parser.add_argument("--report", type=Path, help="Markdown file to write (default: stdout)")
    given = parser.parse_args()
    codec = open_codec(given.model_store)
    subjects = list(pictures(given.folder, given.pictures))
    anchor, anchor_s = _curves(codec, subjects, DEFAULT_EFFORT)
    rows = []
    for effort in given.efforts:
        curves, seconds = (anchor, anchor_s) if effort == DEFAULT_EFFORT else _curves(codec, subjects, effort)
        rows.append(Row(effort=effort, savings=savings(anchor, curves, *RATES_BPP), time_ratio=seconds / anchor_s))
        print(_line(rows[-1]), file=sys.stderr, flush=True)
    report = _report(rows, len(subjects), given.folder.name)
    if given.report:
        given.report.write_text(report)
    else:
        print(report)
    return 0


def _curves(codec: VirtualCodec, subjects: list[Pixels], effort: int) -> tuple[list[Curve], float]:
    """Rate-distortion curve of each picture, and total processor seconds of compression."""
    curves, seconds = [], 0.0
    for pixels in subjects:
        source, points = images.encode(pixels, "png"), []
        for quality in QUALITIES:
            start = time.process_time()
            stream = codec.compress(source, CompressOptions(quality=quality, effort=effort)).stream
            seconds += time.process_time() - start
            restored = images.decode(codec.restore(stream).image)
            points.append(point(pixels, restored, len(stream)))
        curves.append(np.array(points))
    return curves, seconds


def _line(row: Row) -> str:
    shown = (f"{saving:+.1f}" for saving in row.savings)
    return " | ".join([str(row.effort), DESCRIPTIONS[row.effort], *shown, f"{row.time_ratio:.2f}"])


def _report(rows: list[Row], count: int, name: str) -> str:
    assert len(DESCRIPTIONS) == len(EFFORTS)
    measured = {row.effort: _line(row) for row in rows}
    missing = f"not measured{' |' * len(METRICS)}"
    lines = [measured.get(effort, f"{effort} | {what} | {missing}") for effort, what in enumerate(DESCRIPTIONS)]
    table = "\n".join(f"| {line} |" for line in lines)
    return f"""# Gain and cost of each effort

BD-rate in percent against default effort (4), and CPU time of compressing as a multiple of its time: the mean
of {count} pictures (the middle 512 x 384 pixels of some of `{name}`) at qualities {", ".join(map(str, QUALITIES))}, \
`scale=auto`, with the default
model. All were measured in one run.

A *mode* is a scale with a chroma subsampling. The most likely mode is predicted from the loss when a plain filter
halves the image. *Gradient descent* changes the description (at scale 1 the coded image) so that its stream has a
lower Lagrangian cost: squared error of the restored image plus the quality's multiplier times bits. The forward pass
is the real encoder and decoder; the backward pass is the post-processing network and a smooth model of JPEG. Each
round codes and restores a real stream, and a round that raises the cost is undone. All rounds use the same
quantisation step, coarser than that of effort 4, because coefficients move towards its multiples. The trellis's
multiplier keeps the PSNR near that of effort 4. The result is kept only if its stream is smaller and restored no
worse.

| effort | what it does | {" | ".join(METRICS)} | time |
|--:|---|{"--:|" * (len(METRICS) + 1)}
{table}

Made by `python -m benchmarks.effort FOLDER --report docs/effort.md`.
"""


if __name__ == "__main__":
    raise SystemExit(main())
