"""Page of the benchmark of restoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from benchmarks.restoring.convolutions import ENGINE, LayerTimes, totals
from benchmarks.restoring.flat_tiles import DEVIATIONS, EQUAL_DB, FlatTiles
from benchmarks.restoring.variants import Variant

_FLAT_DEVIATION: Final = 1.0  # of the column of work left


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Measurements, by scale for those of post-processing networks. Times are in processor seconds."""

    size: tuple[int, int]
    precision: str
    pictures: int
    folder: str
    network_s: Mapping[int, float]
    layers: Mapping[int, Sequence[LayerTimes]]
    forms: Mapping[int, Mapping[str, float]]
    variants: Sequence[Variant]
    halo: int
    flat: Sequence[FlatTiles]


def page(figures: Figures) -> str:
    """Page of all figures in Markdown."""
    height, width = figures.size
    parts = [
        f"""# Processor time of restoring

This page shows the time of restoring by layer, and the gain of other ways of computing. All times are processor time of
one network at {width} x {height} pixels in one thread, medians of runs in turns. The engine computes in
{figures.precision} on this processor ({torch.backends.cpu.get_cpu_capability()}). The machine may have done other work,
so compare columns, not seconds.""",
        *(_layers(scale, figures) for scale in figures.layers),
        _LAYER_NOTES,
        "## Other implementations of the same network\n\nSeconds of a picture.",
        _forms(figures.forms),
        _VARIANT_NOTES,
        _variants(figures.variants),
        _flat(figures),
        _CONCLUSION,
    ]
    return "\n\n".join(parts)


def _layers(scale: int, figures: Figures) -> str:
    times = figures.layers[scale]
    ways = list(times[0].seconds)
    sums = totals(times)
    whole = figures.network_s[scale]
    gmac = sum(row.layer.gmac for row in times)
    rows = [
        (
            f"{it.layer.count} x {it.layer.name}",
            f"{it.layer.gmac:.2f}",
            *(f"{1000 * it.seconds[way]:.0f} ({it.layer.gmac / it.seconds[way]:.0f})" for way in ways),
        )
        for it in times
    ]
    rows.append(
        ("all convolutions", f"{gmac:.2f}", *(f"{1000 * sums[way]:.0f} ({gmac / sums[way]:.0f})" for way in ways))
    )
    rest = f"The whole network takes {1000 * whole:.0f} ms, {1000 * (whole - sums[ENGINE]):.0f} of them outside of "
    return (
        f"## Convolutions of scale {scale}\n\nMilliseconds, and GMAC a second in brackets. {rest}convolutions: sums, "
        f"ReLU, moving pixels.\n\n{_table(('layer', 'GMAC', *ways), rows)}"
    )


def _forms(forms: Mapping[int, Mapping[str, float]]) -> str:
    scales = list(forms)
    names = list(forms[scales[0]])
    rows = [(name, *(f"{forms[scale][name]:.3f}" for scale in scales)) for name in names]
    return _table(("form", *(f"scale {scale}" for scale in scales)), rows)


def _variants(variants: Sequence[Variant]) -> str:
    rows = [
        (it.name, f"{it.kmac_per_pixel:.0f}", f"{it.seconds_per_megapixel:.2f}", f"{it.gmac_per_s:.0f}")
        for it in variants
    ]
    return _table(("network", "kMAC a pixel", "seconds a megapixel", "GMAC a second"), rows)


def _flat(figures: Figures) -> str:
    rows = []
    for it in figures.flat:
        share = it.by_deviation[_FLAT_DEVIATION][0]
        left = (1 - share) * ((it.side + 2 * figures.halo) / it.side) ** 2
        cells = (
            f"{100 * share:.0f} %: {mean:.3f}, {worst:.3f}"
            for share, mean, worst in (it.by_deviation[limit] for limit in DEVIATIONS)
        )
        rows.append((str(it.quality), str(it.side), f"{100 * it.equal_share:.0f} %", *cells, f"{100 * left:.0f} %"))
    head = (
        "quality",
        "side",
        "equal",
        *(f"deviation < {limit:g}" for limit in DEVIATIONS),
        f"work left at {_FLAT_DEVIATION:g}",
    )
    return f"""## Flat tiles

{figures.pictures} photographs (the middle 512 x 384 pixels of some of `{figures.folder}`), effort 2, cut into tiles.
*Equal* is the share of tiles that the plain filter restores within {EQUAL_DB:g} dB of the network. A decoder cannot
measure this share, because it lacks the original. It can measure the standard deviation of a tile's decoded samples.
For each limit on this deviation, the table has the share of tiles below it, and the loss of a picture in dB, on average
and at worst, if the plain filter restores these tiles. *Work left* is the network's work on the other tiles with their
halo of {figures.halo} pixels, relative to the whole picture at once.

{_table(head, rows)}"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_LAYER_NOTES: Final = """*engine* is a convolution as it runs now. In float32 on x86-64 with AVX2, those of the
trunks are computed by Winograd's minimal filtering F(4x4, 3x3), with the sum that follows. GMAC are those of the plain
convolution. *PyTorch* is PyTorch's convolution, channels last; *planes* the same with each channel in a plane of its
own. A processor without instructions for bfloat16 emulates it. *int8* has bytes as input and output. The conversion to
bytes, and sums of bytes with different steps, take additional time. *fbgemm* and *onednn* are the kernels behind
`torch.ao.nn.quantized`, which PyTorch has deprecated."""

_VARIANT_NOTES: Final = """## Width, depth, resolution

The networks are untrained and of scale 1; their time does not depend on the weights. A kMAC is a thousand
multiplications and additions for a pixel of the restored image."""

_CONCLUSION: Final = """Made by `python -m benchmarks.restoring PHOTOS --report docs/restoring.md`.

## What to conclude

- **8-bit integers** with oneDNN's kernels take three quarters of the time of minimal filtering in float32, even on an
  AVX2 processor, which has no instruction for sums of products of bytes (VNNI). The engine does not use them: in
  earlier measurements with OpenVINO they cost 0.05 to 0.08 dB without training for them. The promise of a stream
  holds for the image that was restored while compressing, so decoders on every machine would have to compute in the
  same integers. 8-bit integers therefore need another model that is trained for them. The library's interface to them
  is deprecated.
- **Minimal filtering** makes a network 1.5 times as fast as PyTorch's convolutions on this processor. It computes the
  same network with a quarter of the multiplications in its 3x3 convolutions. A test allows differences of 1e-4 of a
  sample's range. The engine uses it in float32 with AVX2, for trunks of at least 40 channels.
- **Convolutions** are nearly all of the time. Changes around them gain little: ReLU and sums inside oneDNN's
  convolutions gain nothing, nor do two tiles at a time.
- **Show as decoded**: for a stream with this flag no network runs, only the plain filter. No time can be saved there.
- **Flat tiles**: photographs have hardly any tile that the plain filter restores as well as the network. Each other
  tile needs a halo, so restoring by small tiles takes several times the work of the whole picture.
- **Width and resolution**: minimal filtering favours wide layers. Trunks of 24 and 32 channels, which run without it,
  take 1.6 times the time of 48 channels for the same multiplications. At a quarter of the resolution, 96 channels
  take 0.8 of the time of 48 channels at half of it. A faster network would have fewer blocks at half resolution and
  more at a quarter.
"""
