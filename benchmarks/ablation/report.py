"""Report of the ablation, README.md: tables, curves, and a sheet of descriptions, from measurements and logs."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.ablation.measuring import Measured, read
from benchmarks.ablation.pictures import draw_gains, draw_learning, draw_sheet
from benchmarks.ablation.variants import ANCHOR, BASE, FULL_SIZE, VARIANTS, Budget, reduced
from virtual_codec.evaluation.curves import compare_rates, curves, mean_curve
from virtual_codec.evaluation.points import Point
from virtual_codec.training.checkpoint import CHECKPOINT, read_progress
from virtual_codec.training.run_log import LOG

RANGE_BPP: Final = (0.08, 0.4)
RATES_BPP: Final = (0.1, 0.2, 0.3)
METRICS: Final = {"psnr_rgb": "RGB", "psnr_y": "Y", "ms_ssim": "MS-SSIM"}

Points = Mapping[str, Sequence[Point]]


def write_report(journal: Path, runs: Path, full_size: Path | None, out: Path, budget: Budget) -> None:
    """Write README.md and its pictures into `out`."""
    plain = {name: variant for name, variant in VARIANTS.items() if variant.route == "none"}
    out.mkdir(parents=True, exist_ok=True)
    measured = read(journal)
    labels = {name: variant.label for name, variant in (VARIANTS | FULL_SIZE).items()}
    sets = sorted({it.point.set for it in measured})
    parts = [_head(runs, budget, measured)]
    if full_size:
        parts.append(_full_size(full_size))
    for set_name in sets:
        of_set = [it for it in measured if it.point.set == set_name]
        for title, table, anchor in (
            (f"Small networks, {set_name}", VARIANTS, ANCHOR),
            (f"The default model's networks, {set_name}", plain | FULL_SIZE, "full-lanczos"),
        ):
            rows = _by_name(of_set, table)
            if len(rows) > 1 and anchor in rows:
                parts.append(f"## {title} ({_pictures(rows)} pictures)\n\n{_table(rows, labels, anchor)}")
                stem = f"gain-{set_name}{'' if anchor == ANCHOR else '-full'}"
                draw_gains(_points(rows), labels, anchor, out / f"{stem}.png")
                parts.append(f"![gain over the fixed downscale, {set_name}]({stem}.png)")
    logs = {name: _log(runs / name / LOG) for name in VARIANTS if (runs / name / LOG).exists()}
    if any(name not in (ANCHOR, "area", "bicubic") for name in logs):
        draw_learning(logs, labels, out / "learning.png")
        parts.append(_CURVES_TEXT)
    shown = [name for name in VARIANTS if (runs / name / CHECKPOINT).exists()]
    shown += ["full-lanczos", "full-learned"] if full_size else []
    if draw_sheet(runs, full_size, shown, out / "descriptions.png"):
        parts.append(_DESCRIPTIONS_TEXT)
    if full_size:
        parts.append(_CONCLUSION)
    (out / "README.md").write_text("\n\n".join(parts) + "\n")


def _head(runs: Path, budget: Budget, measured: Sequence[Measured]) -> str:
    config = reduced(BASE)
    steps, seconds = [], 0.0
    for name in (BASE, *VARIANTS):
        if (runs / name / CHECKPOINT).exists():
            progress = read_progress(runs / name / CHECKPOINT)
            seconds += progress.seconds
            steps.append(f"{name} {progress.step}")
    settings = sorted({it.point.setting for it in measured})
    small = (
        f"**Small networks.** Post-processing and virtual codec {config.channels} channels x {config.blocks} blocks, "
        f"description {config.description_channels} x {config.description_blocks}; crops of {config.crop} pixels, "
        f"{config.batch} a step. {budget.base} steps of post-processing behind Lanczos first, for all, "
        f"then {budget.more} more in each, whatever else is trained. One seed. Steps really made: {', '.join(steps)}."
        if steps
        else "**Small networks.** Nothing is trained yet: the command above does that."
    )
    return f"""# What the description network is worth

This page answers whether a learned description gains over a plain downscale, and which way of training gains most.

Written by `python -m benchmarks.ablation`; figures are of the networks and steps named here, no others.

All variants send descriptions of half size through the project's encoder, at luma steps of
{", ".join(f"{s:g}" for s in settings)}, and restore them by post-processing. BD-rate in percent over
{RANGE_BPP[0]:g} to {RANGE_BPP[1]:g} bits per pixel, per picture, then the mean; negative: fewer bytes, equal fidelity.
"Thumbnail" is the description's PSNR against the Lanczos thumbnail, mean over pictures and rates.

{small}"""


def _full_size(folder: Path) -> str:
    alone, joint = (read_progress(folder / name / CHECKPOINT) for name in ("lanczos-2", "wider-2"))
    return f"""**The default model's networks.** `wider-2`, in its last {joint.step} steps with description and
post-processing together. `lanczos-2` starts from that post-processing and learns {alone.step} steps more behind
Lanczos, from the same pictures: the fixed downscale has the longer training. The last row sends Lanczos through
`wider-2` as it is."""


_CURVES_TEXT: Final = """## On the way

![held-out figures over the steps](learning.png)

On held-out crops, step 30 of the codec: bits of the learned description over those of the plain one, what it gains in
PSNR at those bits, and how near the virtual codec comes to the chain that it imitates."""

_DESCRIPTIONS_TEXT: Final = """## Descriptions

![descriptions of four pictures by every variant](descriptions.png)

What a viewer shows of the stream, before JPEG, at step 42. Pictures: scikit-image's samples."""


_CONCLUSION: Final = """## What to conclude

A learned description saves a few percent of the bytes behind the same post-processing. A virtual codec and a smooth
model of JPEG train it about equally well."""


def _by_name(measured: Sequence[Measured], table: Mapping[str, object]) -> dict[str, list[Measured]]:
    """Measurements by variant, in the table's order, of the variants that were measured on all pictures."""
    found: dict[str, list[Measured]] = defaultdict(list)
    for it in measured:
        if it.point.codec in table:
            found[it.point.codec].append(it)
    most = max((len(rows) for rows in found.values()), default=0)
    return {name: found[name] for name in table if name in found and len(found[name]) == most}


def _points(rows: Mapping[str, Sequence[Measured]]) -> dict[str, list[Point]]:
    return {name: [it.point for it in found] for name, found in rows.items()}


def _pictures(rows: Mapping[str, Sequence[Measured]]) -> int:
    return len({it.point.image for found in rows.values() for it in found})


def _table(rows: Mapping[str, Sequence[Measured]], labels: Mapping[str, str], anchor: str) -> str:
    rates = [f"{rate:g} bpp" for rate in RATES_BPP]
    head = ["variant", *(f"BD-rate {label}" for label in METRICS.values()), *(f"PSNR RGB, {rate}" for rate in rates)]
    lines = [f"| {' | '.join([*head, 'Thumbnail, dB'])} |", f"| {' | '.join(['---'] * (len(head) + 1))} |"]
    points = _points(rows)
    for name, found in points.items():
        savings = [_bd(points[anchor], found, metric) if name != anchor else "0" for metric in METRICS]
        at = [f"{value:.2f}" if value is not None else "-" for value in mean_curve(found, "psnr_rgb", RATES_BPP)]
        thumbnail = np.mean([min(it.thumbnail_db, 60.0) for it in rows[name]])
        near = "-" if (VARIANTS | FULL_SIZE)[name].filter == "lanczos" else f"{thumbnail:.1f}"
        lines.append(f"| {' | '.join([labels[name], *savings, *at, near])} |")
    return "\n".join(lines)


def _bd(anchor: Sequence[Point], test: Sequence[Point], metric: str) -> str:
    found, without = compare_rates(curves(anchor, metric), curves(test, metric), *RANGE_BPP)
    if not found:
        return "-"
    return f"{np.mean(found):+.1f}" + (f" ({without} without overlap)" if without else "")


def _log(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
