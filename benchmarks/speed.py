"""Speed benchmark: processor time per megapixel of this codec and of ordinary ones, and the bytes that each saves.

python -m benchmarks.speed PICTURES --report docs/speed.md

Everything runs on one thread of one core, in one run, through the same Pillow.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from benchmarks.rates import Curve, Pixels, pictures, point, reference_jpeg, savings
from virtual_codec import images
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.jobs import CompressOptions

MEGAPIXELS: Final = (0.4, 3.0, 12.0)
QUALITY: Final = 30  # of the timed streams; the ordinary codecs are timed at the setting nearest to their size
EFFORTS: Final = (0, 2, 4, 5, 7)
RATES_BPP: Final = (0.1, 1.0)
_SIZE: Final = (512, 768)  # height and width of the pictures
_ANCHORS: Final = (3, 6, 10, 15, 25, 40, 60, 80)
_QUALITIES: Final = (8, 20, 40, 65)

Encode = Callable[[Pixels, float], bytes]
Decode = Callable[[bytes], Pixels]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Codec at one speed: functions that encode at a setting and decode, and settings that sweep the rate."""

    name: str
    encode: Encode = field(repr=False)
    decode: Decode = field(repr=False)
    settings: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Figures of a subject: processor seconds per megapixel by size, and BD-rates in percent (RGB, Y, MS-SSIM)."""

    name: str
    encode_s: dict[str, float]
    decode_s: dict[str, float]
    savings: tuple[float, ...]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, help="folder of photographs, of which the middle 768 x 512 pixels are used"
    )
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument(
        "--pictures", type=int, default=4, help="number of pictures, evenly spread over the folder (default 4)"
    )
    parser.add_argument("--efforts", type=int, nargs="*", default=EFFORTS)
    parser.add_argument("--megapixels", type=float, nargs="*", default=MEGAPIXELS)
    parser.add_argument("--qualities", type=int, nargs="*", default=_QUALITIES)
    parser.add_argument("--report", type=Path, help="Markdown file to write, with a plot and a JSON file beside it")
    given = parser.parse_args(argv)
    codec = open_codec(given.model_store, threads=1)
    sources = list(pictures(given.folder, given.pictures, size=_SIZE))
    anchors = [reference_jpeg(picture, _ANCHORS) for picture in sources]
    target = len(codec.compress(images.encode(sources[0], "png"), CompressOptions(quality=QUALITY)).stream)
    rows = []
    for subject in _subjects(codec, given.efforts, tuple(given.qualities)):
        setting = QUALITY if subject.name.startswith("virtual-codec") else _nearest(subject, sources[0], target)
        times = {f"{size:g}": _timed(subject, of_megapixels(sources, size), setting) for size in given.megapixels}
        rows.append(
            Row(
                name=subject.name,
                encode_s={size: encode for size, (encode, _) in times.items()},
                decode_s={size: decode for size, (_, decode) in times.items()},
                savings=savings(anchors, [_curve(subject, picture) for picture in sources], *RATES_BPP),
            )
        )
        print(_line(rows[-1]), file=sys.stderr, flush=True)
    report = _report(rows, len(sources), given.folder.name)
    if given.report:
        given.report.write_text(report)
        given.report.with_suffix(".json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        _plot(rows, given.report.with_suffix(".svg"))
    else:
        print(report)
    return 0


def of_megapixels(sources: Sequence[Pixels], megapixels: float) -> Sequence[Pixels]:
    """Sources if they have about the size, or one picture joined from them.

    There the sources lie side by side, each time shifted so that no block repeats.
    """
    if megapixels * 1e6 < 2 * max(source.shape[0] * source.shape[1] for source in sources):
        return sources
    height, width = (min(source.shape[axis] for source in sources) for axis in (0, 1))
    alike = [source[:height, :width] for source in sources]
    side = max(1, round((megapixels * 1e6 / (height * width)) ** 0.5))
    rows = [
        np.concatenate(
            [np.roll(alike[(row * side + column) % len(alike)], 8 * row + 3 * column, 1) for column in range(side)],
            axis=1,
        )
        for row in range(side)
    ]
    return [np.ascontiguousarray(np.concatenate(rows, axis=0))]


def _subjects(codec: VirtualCodec, efforts: Sequence[int], qualities: tuple[float, ...]) -> list[Subject]:
    ours = [
        Subject(
            name=f"virtual-codec, effort {effort}",
            encode=partial(_compressed, codec, effort),
            decode=lambda stream: images.decode(codec.restore(stream).image),
            settings=qualities,
        )
        for effort in efforts
    ]
    swept = (15.0, 30.0, 50.0, 70.0)
    avif = [
        Subject(
            name=f"AVIF, speed {speed}",
            encode=partial(_saved, "AVIF", {"speed": speed}),
            decode=_opened,
            settings=swept,
        )
        for speed in (4, 6, 8)
    ]
    webp = Subject(name="WebP, method 6", encode=partial(_saved, "WEBP", {"method": 6}), decode=_opened, settings=swept)
    jpeg2000 = Subject(
        name="JPEG 2000", encode=partial(_saved, "JPEG2000", {}), decode=_opened, settings=(0.1, 0.25, 0.5, 1.0)
    )
    return [*ours, *avif, webp, jpeg2000]


def _compressed(codec: VirtualCodec, effort: int, pixels: Pixels, quality: float) -> bytes:
    return codec.compress(images.encode(pixels, "bmp"), CompressOptions(quality=int(quality), effort=effort)).stream


def _saved(kind: str, parameters: dict[str, object], pixels: Pixels, setting: float) -> bytes:
    file = io.BytesIO()
    swept: dict[str, object] = {"quality": int(setting)}
    if kind == "AVIF":
        swept["max_threads"] = 1
    if kind == "JPEG2000":
        swept = {"quality_layers": [24 / setting], "irreversible": True, "mct": 1}  # without it R, G and B are coded
    Image.fromarray(pixels).save(file, kind, **parameters, **swept)
    return file.getvalue()


def _opened(stream: bytes) -> Pixels:
    with Image.open(io.BytesIO(stream)) as image:
        return np.asarray(image.convert("RGB"))


def _nearest(subject: Subject, picture: Pixels, size_bytes: int) -> float:
    """Setting of the stream whose size is the nearest to a given one."""
    return min(subject.settings, key=lambda setting: abs(len(subject.encode(picture, setting)) - size_bytes))


def _timed(subject: Subject, sources: Sequence[Pixels], setting: float) -> tuple[float, float]:
    """Processor seconds per megapixel of encoding and of decoding."""
    encoding_s = decoding_s = 0.0
    for picture in sources:
        started = time.process_time()
        stream = subject.encode(picture, setting)
        encoded = time.process_time()
        subject.decode(stream)
        encoding_s += encoded - started
        decoding_s += time.process_time() - encoded
    megapixels = sum(picture.shape[0] * picture.shape[1] for picture in sources) / 1e6
    return encoding_s / megapixels, decoding_s / megapixels


def _curve(subject: Subject, picture: Pixels) -> Curve:
    streams = [subject.encode(picture, setting) for setting in subject.settings]
    return np.array([point(picture, subject.decode(stream), len(stream)) for stream in streams])


def _line(row: Row) -> str:
    times = [f"{row.encode_s[size]:.3g} / {row.decode_s[size]:.2g}" for size in row.encode_s]
    return " | ".join([row.name, *times, *(f"{saving:+.1f}" for saving in row.savings)])


def _report(rows: Sequence[Row], count: int, name: str) -> str:
    sizes = list(rows[0].encode_s)
    table = "\n".join(f"| {_line(row)} |" for row in rows)
    low, high = RATES_BPP
    return f"""# Processor time and bytes saved

This page helps to choose an `effort`, and between this codec and AVIF. It shows processor seconds a megapixel to
encode / decode pictures of {", ".join(sizes)} megapixels, in one thread and one run. The BD-rates are in percent
against ordinary JPEGs, at {low:g} to {high:g} bits a pixel; negative values save bytes.

The {count} pictures are the middle 768 x 512 pixels of some of `{name}`. Larger sizes are one picture joined from them.
The times are those of quality {QUALITY}, and for other codecs of streams with about the same bytes. Processors differ,
and this one did other work meanwhile, so compare rows, not seconds.

![processor time and bytes saved](speed.svg)

| codec | {" | ".join(f"{size} MP" for size in sizes)} | RGB-PSNR | Y-PSNR | MS-SSIM |
|---|{"--:|" * (len(sizes) + 3)}
{table}

Made by `python -m benchmarks.speed FOLDER --report docs/speed.md`.

## What to conclude

In the plot, a point that lies higher and farther left is better. The streams of virtual-codec are plain JPEGs, which
every viewer opens. If all readers can open AVIF, compare the rows.
"""


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Encoding time of the smallest pictures against bytes saved (RGB-PSNR)."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for row in rows:
        seconds = next(iter(row.encode_s.values()))
        ours = row.name.startswith("virtual-codec")
        axes.plot(seconds, -row.savings[0], "o" if ours else "s", color="tab:blue" if ours else "tab:gray")
        axes.annotate(row.name, (seconds, -row.savings[0]), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.35)  # room for the labels
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("processor seconds a megapixel to encode")
    axes.set_ylabel("bytes saved against JPEG, % (BD-rate, RGB-PSNR)")
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
