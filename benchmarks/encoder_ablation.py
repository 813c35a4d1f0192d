"""Ablation of the encoder: BD-rate of each part, alone and combined, against ordinary JPEG.

python -m benchmarks.encoder_ablation PICTURES --report docs/encoder-ablation.md
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.rates import METRICS, Curve, Pixels, pictures, point, reference_jpeg, savings
from virtual_codec import images
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.codec.model import ModelNetworks, lanczos_reduced, plain_restore
from virtual_codec.codec.operating import MODES, Mode
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trials
from virtual_codec.codecs import CODECS, JpegSettings
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

RANGES_BPP = ((0.1, 0.4), (0.1, 1.0))
ANCHOR_QUALITIES = (1, 3, 5, 8, 12, 18, 27, 40, 55, 70, 82, 92)
QUALITIES = (2, 5, 8, 12, 18, 28, 40, 55, 68, 80)
STEPS = (10.0, 16.0, 25.0, 40.0, 62.0, 95.0, 150.0)

Row = Callable[[Pixels], Curve]

_HALF, _FULL, _FULL_CHROMA = MODES


class EncoderAblation:
    """Rows of the ablation: named functions from a picture to its rate-distortion curve."""

    def __init__(self, store: Path) -> None:
        opened = ModelStore(store)
        self._model = ModelNetworks(opened, opened.default, DirectRunner())
        self._codec = open_codec(store)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Name and measuring function of each row."""
        yield "our tables", self._plain(_FULL, {"trellis": 0.0, "masking": 0.0})
        yield "our tables, trellis", self._plain(_FULL, {"masking": 0.0})
        yield "our tables, trellis, masking: the encoder alone", self._plain(_FULL, {})
        yield "half size, the encoder, bicubic", self._plain(_HALF, {})
        yield "ordinary JPEG, post-processing", self._foreign
        yield "the encoder, post-processing, 4:2:0", self._restored(_FULL, learned=False)
        yield "learned description, the encoder, post-processing, 4:2:0", self._restored(_FULL)
        yield "learned description, the encoder, post-processing, 4:4:4", self._restored(_FULL_CHROMA)
        yield "half size, the encoder, post-processing", self._restored(_HALF, learned=False)
        yield "learned description of half size, the encoder, post-processing", self._restored(_HALF)
        yield "the best mode of each image, scans optimised: effort 4", self._whole(4)
        yield "and the description optimised for each image: effort 9", self._whole(9)

    def _plain(self, mode: Mode, changed: dict[str, float]) -> Row:
        def curve(picture: Pixels) -> Curve:
            points = []
            for step in STEPS:
                settings = replace(JpegSettings(step=step, subsampling=mode.subsampling), **changed)  # type: ignore[arg-type]
                coded = CODECS["jpeg"].encode(lanczos_reduced(picture, mode.scale), settings)
                decoded = plain_restore(CODECS["jpeg"].decode(coded), mode.scale)
                points.append(point(picture, decoded[: picture.shape[0], : picture.shape[1]], len(coded)))
            return np.array(points)

        return curve

    def _restored(self, mode: Mode, *, learned: bool = True) -> Row:
        def curve(picture: Pixels) -> Curve:
            trials = Trials(picture, self._model, CODECS["jpeg"], stopwatch=Stopwatch())
            points = []
            for step in STEPS:
                settings = trials.settings(mode, step)
                description = None if learned else lanczos_reduced(picture, mode.scale)
                trial = trials.measure(mode, settings, trials.encode(mode, settings, description))
                points.append(point(picture, trial.restored, trial.size_bytes))
            return np.array(points)

        return curve

    def _foreign(self, picture: Pixels) -> Curve:
        points = []
        for quality in ANCHOR_QUALITIES:
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
            restored = images.decode(self._codec.restore(file.getvalue()).image)
            points.append(point(picture, restored, file.getbuffer().nbytes))
        return np.array(points)

    def _whole(self, effort: int) -> Row:
        def curve(picture: Pixels) -> Curve:
            source, points = images.encode(picture, "png"), []
            for quality in QUALITIES:
                stream = self._codec.compress(source, CompressOptions(quality=quality, effort=effort)).stream
                points.append(point(picture, _opened(self._codec, stream), len(stream)))
            return np.array(points)

        return curve


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of pictures, of which the middle 512 x 384 pixels are used")
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument(
        "--pictures", type=int, default=6, help="number of pictures, evenly spread over the folder (default 6)"
    )
    parser.add_argument("--report", type=Path, help="Markdown file to write (default: stdout)")
    given = parser.parse_args()
    subjects = list(pictures(given.folder, given.pictures))
    anchors = [reference_jpeg(picture, ANCHOR_QUALITIES) for picture in subjects]
    lines = []
    for name, row in EncoderAblation(given.model_store).rows():
        curves = [row(picture) for picture in subjects]
        found = [savings(anchors, curves, *rates) for rates in RANGES_BPP]
        lines.append(" | ".join([name, *(f"{each:+.1f}" for each in (*found[0], *found[1]))]))
        print(lines[-1], file=sys.stderr, flush=True)
    report = _report(lines, len(subjects), given.folder.name)
    if given.report:
        given.report.write_text(report)
    else:
        print(report)
    return 0


def _opened(codec: VirtualCodec, stream: bytes) -> Pixels:
    return images.decode(codec.restore(stream).image)


def _report(lines: list[str], count: int, name: str) -> str:
    table = "\n".join(f"| {line} |" for line in lines)
    header = " | ".join(f"{metric}, {low:g}-{high:g} bpp" for low, high in RANGES_BPP for metric in METRICS)
    return f"""# Ablation of the encoder

This page shows how many bytes each part of the codec saves.

The gain of each part of the encoder, alone and together, as BD-rate in percent against ordinary JPEG (libjpeg-turbo
4:2:0, optimised Huffman codes): the mean of {count} pictures
(the middle 512 x 384 pixels of some of `{name}`), with the default model. Rows of one mode keep that mode at every
rate, even where it would never be chosen; the last two are whole streams of `quality`, `scale=auto`.

| | {header} |
|---|{"--:|" * (2 * len(METRICS))}
{table}

Made by `python -m benchmarks.encoder_ablation FOLDER --report docs/encoder-ablation.md`. The gains of
the encoder's single settings are in [encoder.md](encoder.md), those of each effort in [effort.md](effort.md).

## What to conclude

Tables, trellis, halving and post-processing each save bytes, and their gains do not simply add up. Compare rows
within this page only.
"""


if __name__ == "__main__":
    raise SystemExit(main())
