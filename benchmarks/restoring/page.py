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
        f"""# Cheaper restoring

Time of restoring by layer, and what other ways of computing would give: for deciding what to build next. A network at
{width} x {height} pixels, one thread, processor time, medians of runs in turns. The engine computes in
{figures.precision} on this processor ({torch.backends.cpu.get_cpu_capability()}). Others may have used the machine:
compare columns, not seconds.""",
        *(_layers(scale, figures) for scale in figures.layers),
        _LAYER_NOTES,
        "## Other forms of the same network\n\nSeconds of a picture.",
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
know those; it can know the standard deviation of a tile's decoded samples. For each limit: the share of tiles below it,
and the decibels that a picture loses with the plain filter there, on average and at worst. *Work left* is the
network's work on the other tiles with their halo of {figures.halo} pixels, against the whole picture at once.

{_table(head, rows)}"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_LAYER_NOTES: Final = """*engine* is a convolution as it runs now. In float32 on x86-64 with AVX2, those of the
trunks are computed by Winograd's minimal filtering F(4x4, 3x3), with the sum that follows. GMAC are those of the plain
convolution. *PyTorch* is PyTorch's convolution, channels last; *planes* the same with each channel in a plane of its
own. A processor without instructions for bfloat16 emulates it. *int8* takes and gives bytes: what converting costs
comes on top, that of sums of bytes with different steps too. *fbgemm* and *onednn* are what `torch.ao.nn.quantized`
calls, which PyTorch calls deprecated."""

_VARIANT_NOTES: Final = """## Width, depth, resolution

Untrained networks at scale 1: time does not depend on the weights. kMAC are thousand multiplications and additions for
a pixel of the restored image."""

_CONCLUSION: Final = """Made by `python -m benchmarks.restoring PHOTOS --report docs/restoring.md`.

## What to conclude

- **8-bit integers** with oneDNN's kernels take three quarters of the time of minimal filtering in float32, even on an
  AVX2 processor, which has no instruction for sums of products of bytes (VNNI). They are not built in: they cost 0.05
  to 0.08 dB without training for it (by earlier measurements with OpenVINO). A stream also keeps its promise for what
  was restored while compressing, so a decoder on every machine would have to compute in the same integers. They would
  be another model, trained for it, not a setting of the engine; and the library's interface to them is about to go.
- **Minimal filtering** makes a network 1.5 times as fast as PyTorch's convolutions on this processor: the same
  network, with a quarter of the multiplications in its 3x3 convolutions. A test allows differences of 1e-4 of a
  sample's range. The engine uses it in float32 with AVX2, for trunks of at least 40 channels.
- **Convolutions** are nearly all of the time. What surrounds them has little left to give: ReLU and sums inside
  oneDNN's convolutions gain nothing, nor do two tiles at a time.
- **Show as decoded**: a stream with that flag runs no network; the plain filter is all. Nothing is left to save there.
- **Flat tiles**: photographs have none. Hardly a tile is restored as well by the plain filter, and around each of the
  others lies the halo, so that work by small tiles is several times that of the whole.
- **Width and resolution**: minimal filtering favours wide layers. Trunks of 24 and 32 channels, which run without it,
  take 1.6 times the time of 48 channels for the same multiplications. At a quarter of the resolution, 96 channels
  take 0.8 of the time of 48 channels at half of it. A next network has fewer blocks at half resolution and more at a
  quarter.
"""
