"""Plots of the ablation: gains by rate, learning curves, and a sheet of descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from benchmarks.ablation.measuring import PICTURED_STEP, Pixels, describe, load_networks
from benchmarks.ablation.variants import FULL_SIZE, VARIANTS
from virtual_codec.evaluation.curves import METRICS, mean_curve
from virtual_codec.evaluation.points import Point

_RATES_BPP: Final = tuple(float(rate) for rate in np.geomspace(0.08, 0.4, 25))
_SAMPLES: Final = {"astronaut": (40, 170), "coffee": (90, 180), "chelsea": (60, 120), "rocket": (150, 250)}
_CROP: Final = 192


def draw_gains(points: Mapping[str, Sequence[Point]], labels: Mapping[str, str], anchor: str, path: Path) -> None:
    """Draw the gain of each variant's mean PSNR RGB and MS-SSIM over the anchor, by rate."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 2), ("psnr_rgb", "ms_ssim"), strict=True):
        base = _scaled(points[anchor], metric)
        for name, found in points.items():
            axes.plot(_RATES_BPP, _scaled(found, metric) - base, label=labels[name].replace("`", ""), linewidth=1.8)
        axes.set(
            xscale="log",
            xlabel="bits per pixel",
            title=f"{METRICS[metric].label}, dB over {labels[anchor]}".replace("`", ""),
        )
        axes.set_xticks([0.08, 0.1, 0.15, 0.2, 0.3, 0.4], labels=["0.08", "0.1", "0.15", "0.2", "0.3", "0.4"])
        axes.minorticks_off()
        axes.grid(color="#e3e7eb")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def draw_learning(logs: Mapping[str, Sequence[Mapping[str, float]]], labels: Mapping[str, str], path: Path) -> None:
    """Draw bits, gain and fidelity at codec step 30 against the progress of each run, 0 to 1."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels: dict[str, Any] = {
        "bits, learned / plain": lambda row: row["bits_30"],
        "PSNR, learned - plain, dB": lambda row: row["learned_30"] - row["plain_30"],
        "fidelity of the virtual codec, dB": lambda row: row["fidelity_30"],
    }
    learned = [name for name in logs if not VARIANTS[name].filter]
    for axes, (title, value_of) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for number, name in enumerate(learned):  # the same colour in every panel
            if "fidelity" in title and not VARIANTS[name].share:
                continue
            rows = logs[name]
            places = [row["step"] / rows[-1]["step"] for row in rows]
            axes.plot(places, [value_of(row) for row in rows], label=labels[name], color=f"C{number}")
        axes.set(title=title, xlabel="share of the run done")
        axes.grid(color="#e3e7eb")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def draw_sheet(runs: Path, full_size: Path | None, names: Sequence[str], path: Path) -> bool:
    """Draw a sheet of variants (rows) and scikit-image's sample pictures (columns). False if there is no variant."""
    from skimage import data

    if not names:
        return False
    half = _CROP // 2
    crops: list[Pixels] = []
    for sample, (top, left) in _SAMPLES.items():
        crops.append(np.ascontiguousarray(getattr(data, sample)()[top : top + _CROP, left : left + _CROP, :3]))
    sheet = Image.new("RGB", (len(crops) * (half * 2 + 4), len(names) * (half * 2 + 20)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        network = load_networks(name, runs, full_size)
        draw.text((2, row * (half * 2 + 20) + 4), (VARIANTS | FULL_SIZE)[name].label.replace("`", ""), fill="black")
        for column, crop in enumerate(crops):
            described, _ = describe(network, crop, PICTURED_STEP)
            shown = Image.fromarray(described).resize((half * 2, half * 2), Image.Resampling.NEAREST)
            sheet.paste(shown, (column * (half * 2 + 4), row * (half * 2 + 20) + 18))
    sheet.save(path, optimize=True)
    return True


def _scaled(points: Sequence[Point], metric: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    means = mean_curve(points, metric, _RATES_BPP, continues=True)
    return np.array([np.nan if mean is None else METRICS[metric].scaled(mean) for mean in means])
