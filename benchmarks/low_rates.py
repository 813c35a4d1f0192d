"""Very low rates: restored streams compared with AVIF, WebP and JPEG 2000 in at most the same bytes.

python -m benchmarks.low_rates PICTURES --report docs/low-rates.md
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.gallery.coding import largest_within
from benchmarks.rates import Pixels
from virtual_codec import images, metrics
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.errors import UnreachableTarget
from virtual_codec.evaluation import ANCHORS
from virtual_codec.jobs import CompressOptions
from virtual_codec.store import ModelStore, default_model_store

RATES_BPP: Final = (0.03, 0.04, 0.05, 0.075, 0.1, 0.15)
OWN: Final = "virtual-codec"
LABELS: Final = {OWN: OWN, **{name: ANCHORS[name].label for name in ("avif", "jpeg2000", "webp")}}

_MEASURES: Final = {"psnr": ("PSNR RGB, dB", 2), "psnr_y": ("PSNR Y, dB", 2), "ms_ssim": ("MS-SSIM", 4)}
_COLOURS: Final = {OWN: "#d1242f", "avif": "#0969da", "jpeg2000": "#8250df", "webp": "#1a7f37"}
_RATE_FACTOR: Final = 0.98  # reduction of JPEG 2000's requested rate until its file is small enough

_CONCLUSION: Final = """\
A codec without a figure cannot make all pictures that small; for AVIF and WebP this is at quality 1. At those rates
choose between this codec, whose streams every viewer opens at half the size, and JPEG 2000. AVIF leads at the rates
that it reaches."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Similarity of one codec's picture to the original: PSNR of RGB and of luma in dB, and MS-SSIM."""

    psnr: float
    psnr_y: float
    ms_ssim: float


Means = dict[tuple[str, float], Measured | None]  # by codec and rate; None if a picture has no file so small


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--model-store", type=Path, default=default_model_store())
    parser.add_argument(
        "--pictures", type=int, default=12, help="number of pictures, evenly spread over the folder (default 12)"
    )
    parser.add_argument("--report", type=Path, help="Markdown file to write, with a plot beside it (default: stdout)")
    given = parser.parse_args()
    paths = sorted(path for path in given.folder.iterdir() if path.suffix in {".png", ".webp"})
    if not paths:
        parser.error(f"{given.folder} holds no PNG or WebP")
    chosen = paths[:: max(1, len(paths) // given.pictures)][: given.pictures]
    codec = open_codec(given.model_store)
    found = []
    for path in chosen:
        found.append(measured(images.decode(path.read_bytes()), codec))
        print(path.name, file=sys.stderr, flush=True)
    means = means_of(found)
    model = ModelStore(given.model_store).default
    text = page(
        means, f"{len(chosen)} pictures of `{given.folder.name}`, model {model.name} ({model.id})", given.report
    )
    if given.report:
        given.report.write_text(text, encoding="utf-8")
        plot(means, given.report.with_suffix(".png"))
    else:
        print(text)
    return 0


def measured(picture: Pixels, codec: VirtualCodec) -> Means:
    """Similarity of every codec's picture at every rate of `RATES_BPP`."""
    return {(name, rate): _measured(name, picture, rate, codec) for name in LABELS for rate in RATES_BPP}


def means_of(found: list[Means]) -> Means:
    """Means over pictures, or None if a codec misses a rate on one of them."""
    means: Means = {}
    for key in found[0]:
        values = [each[key] for each in found]
        reached = [value for value in values if value is not None]
        means[key] = None
        if len(reached) == len(values):
            means[key] = Measured(
                **{name: float(np.mean([getattr(value, name) for value in reached])) for name in _MEASURES}
            )
    return means


def page(means: Means, what: str, report: Path | None) -> str:
    """Text of the page: a table for each measure."""
    lines = [
        "# Very low rates",
        "",
        "This page shows the quality of photographs at 0.03 to 0.15 bits per pixel, a few kilobytes a picture.",
        "Every codec gets at most the bytes of the rate; AVIF is libaom at speed 4, WebP method 6.",
        "",
    ]
    if report:
        lines += [f"![PSNR and MS-SSIM by rate]({report.with_suffix('.png').name})", ""]
    lines += [f"Means of {what}, `max_bpp`, default effort.", ""]
    rates = " | ".join(f"{rate:g} bpp" for rate in RATES_BPP)
    for name, (label, digits) in _MEASURES.items():
        lines += [
            f"| {label} | {rates} |",
            "| --- |" + " --- |" * len(RATES_BPP),
        ]
        for codec, shown in LABELS.items():
            cells = [_cell(means[codec, rate], name, digits) for rate in RATES_BPP]
            lines.append(f"| {shown} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["## What to conclude", "", _CONCLUSION, ""]
    lines += ["Made by `python -m benchmarks.low_rates PICTURES --report docs/low-rates.md`.", ""]
    return "\n".join(lines)


def plot(means: Means, path: Path) -> None:
    """Draw the means over the rate, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, 2), ("psnr", "ms_ssim"), strict=True):
        _draw(axes, means, name)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def _draw(axes: Any, means: Mapping[tuple[str, float], Measured | None], name: str) -> None:
    for codec, label in LABELS.items():
        drawn = [(rate, getattr(found, name)) for rate in RATES_BPP if (found := means[codec, rate]) is not None]
        if drawn:
            width = 3.0 if codec == OWN else 1.7
            axes.plot(*zip(*drawn, strict=True), color=_COLOURS[codec], linewidth=width, marker="o", label=label)
    axes.set_xscale("log")
    axes.set_xticks(RATES_BPP, [f"{rate:g}" for rate in RATES_BPP])
    axes.minorticks_off()
    axes.set_title(_MEASURES[name][0], loc="left")
    axes.set_xlabel("bits per pixel")
    axes.grid(color="#e3e7eb", linewidth=0.8)
    axes.legend(frameon=False)


def _measured(name: str, picture: Pixels, rate_bpp: float, codec: VirtualCodec) -> Measured | None:
    size_bytes = int(rate_bpp * picture.shape[0] * picture.shape[1] / 8)
    if name == OWN:
        try:
            stream = codec.compress(images.encode(picture, "png"), CompressOptions(max_bytes=size_bytes)).stream
        except UnreachableTarget:
            return None
        shown = images.decode(codec.restore(stream).image)
    else:
        if name == "jpeg2000":
            file = _jpeg2000(picture, rate_bpp, size_bytes)
        else:
            file = largest_within(ANCHORS[name], picture, size_bytes)
        if len(file) > size_bytes:
            return None
        with Image.open(io.BytesIO(file)) as image:
            shown = np.asarray(image.convert("RGB"))
    return Measured(
        psnr=metrics.psnr(picture, shown),
        psnr_y=metrics.psnr_y(picture, shown),
        ms_ssim=metrics.ms_ssim(picture, shown),
    )


def _jpeg2000(picture: Pixels, rate_bpp: float, size_bytes: int) -> bytes:
    """File within the size, or a larger one if half of the rate is not enough, because the rate excludes headers."""
    asked_bpp = rate_bpp
    file = ANCHORS["jpeg2000"].encode(picture, asked_bpp)
    while len(file) > size_bytes and asked_bpp > rate_bpp / 2:
        asked_bpp *= _RATE_FACTOR
        file = ANCHORS["jpeg2000"].encode(picture, asked_bpp)
    return file


def _cell(found: Measured | None, name: str, digits: int) -> str:
    return "-" if found is None else f"{getattr(found, name):.{digits}f}"


if __name__ == "__main__":
    raise SystemExit(main())
