"""Plot of mean rate-distortion curves of one set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from virtual_codec.evaluation._report import label_of
from virtual_codec.evaluation._restored import anchor_of, restored_name
from virtual_codec.evaluation._summary import by_set_and_codec
from virtual_codec.evaluation.curves import METRICS, mean_curve
from virtual_codec.evaluation.points import Point

_PANELS: Final = {"psnr_rgb": "PSNR RGB, dB", "psnr_y": "PSNR Y, dB", "ms_ssim": "MS-SSIM"}
_RATES_BPP: Final = tuple(float(rate) for rate in np.geomspace(0.05, 1.0, 61))
_RATE_TICKS_BPP: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
_SIMILARITY_TICKS: Final = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
_LABEL_HEIGHT: Final = 0.055  # share of the panel's height
_INK, _MUTED, _FAINT = "#1f2328", "#59636e", "#e3e7eb"
_TESTED_COLOURS: Final = ("#d1242f", "#bf3989", "#bc4c00")
_ANCHOR_COLOURS: Final = {"jpeg": "#59636e", "webp": "#1a7f37", "jpeg2000": "#8250df", "avif": "#0969da"}
# Codecs that are not drawn: five lines can be told apart, seven cannot.
_OMITTED_CODECS: Final = (restored_name("webp"), restored_name("jpeg2000"))
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "rate_distortion",  # the same figures give the same file
}


@dataclass(frozen=True, kw_only=True)
class _CurveEnd:
    """Right end of a curve, with its label."""

    value: float
    rate_bpp: float
    label: str
    colour: str
    is_tested: bool


def plot_rate_distortion(points: Sequence[Point], tested: Sequence[str], path: Path) -> None:
    """Draw the mean curves of the set named kodak, or of the largest set, to `path` as PNG, and as SVG beside it."""
    groups = by_set_and_codec(points)
    sizes = {name: len({point.image for point in points if point.set == name}) for name, _ in groups}
    chosen = "kodak" if "kodak" in sizes else max(sizes, key=lambda name: sizes[name])
    of_codec = {
        codec: group for (name, codec), group in groups.items() if name == chosen and codec not in _OMITTED_CODECS
    }
    on_top_last = dict(sorted(of_codec.items(), key=lambda item: item[0] in tested))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11.6, 4.3), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1), facecolor="white")
        FigureCanvasAgg(figure)
        for axes, (metric, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
            _draw_panel(axes, metric, title, on_top_last, tested)
        axis_label = f"bits per pixel  ·  mean of the {sizes[chosen]} images of {chosen}"
        figure.supxlabel(axis_label, fontsize=10.5, color=_MUTED)
        figure.savefig(path, dpi=160, metadata={"Software": None})
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def _draw_panel(
    axes: Any, metric: str, title: str, groups: Mapping[str, Sequence[Point]], tested: Sequence[str]
) -> None:
    ends = []
    for codec, points in groups.items():
        means = mean_curve(points, metric, _RATES_BPP, continues=True)
        drawn = [(rate, mean) for rate, mean in zip(_RATES_BPP, means, strict=True) if mean is not None]
        if not drawn:
            continue
        rates = [rate for rate, _ in drawn]
        values = [METRICS[metric].scaled(mean) for _, mean in drawn]
        is_tested = codec in tested
        anchor = anchor_of(codec)
        colour = _TESTED_COLOURS[tested.index(codec) % 3] if is_tested else _ANCHOR_COLOURS.get(anchor or codec, _INK)
        width, dashes = 3 if is_tested or anchor else 1.7, "--" if anchor else "-"
        axes.plot(rates, values, color=colour, linewidth=width, linestyle=dashes, solid_capstyle="round")
        ends.append(
            _CurveEnd(
                value=values[-1],
                rate_bpp=rates[-1],
                label=label_of(codec),
                colour=colour,
                is_tested=is_tested or anchor is not None,
            )
        )
    _draw_axes(axes, metric, title)
    _label_ends(axes, ends)


def _draw_axes(axes: Any, metric: str, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=12)
    axes.set_xscale("log")
    axes.set_xlim(_RATES_BPP[0], _RATES_BPP[-1])
    axes.xaxis.set_major_locator(FixedLocator(list(_RATE_TICKS_BPP)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    properties = METRICS[metric]
    if properties.is_similarity:
        low, high = axes.get_ylim()
        ticks = {properties.scaled(tick): f"{tick:g}" for tick in _SIMILARITY_TICKS}
        axes.set_yticks([place for place in ticks if low < place < high])
        axes.set_yticklabels([text for place, text in ticks.items() if low < place < high])
    axes.grid(color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_MUTED)
    axes.tick_params(length=0, labelcolor=_MUTED)


def _label_ends(axes: Any, ends: Sequence[_CurveEnd]) -> None:
    low, high = axes.get_ylim()
    at_edge = sorted((end for end in ends if end.rate_bpp == _RATES_BPP[-1]), key=lambda end: end.value)
    places = _spread_apart([end.value for end in at_edge], _LABEL_HEIGHT * (high - low))
    for end, place in zip(at_edge, places, strict=True):
        _label(axes, end, place, xytext=(6, 0), va="center")
    for end in ends:
        if end not in at_edge:  # a curve that ends before the others has its label above
            _label(axes, end, end.value, xytext=(2, 4), va="bottom", ha="right")


def _label(axes: Any, end: _CurveEnd, place: float, **where: object) -> None:
    weight = "bold" if end.is_tested else "normal"
    axes.annotate(
        end.label,
        (end.rate_bpp, place),
        textcoords="offset points",
        color=end.colour,
        fontweight=weight,
        annotation_clip=False,
        **where,
    )


def _spread_apart(rising: Sequence[float], apart: float) -> list[float]:
    """Rising positions moved to a distance of at least `apart`, with the least sum of squared shifts.

    The method is pool-adjacent-violators: neighbours that are too close are moved together.
    """
    pools: list[tuple[float, int]] = []  # mean offset from an even row, and number of positions
    for index, place in enumerate(rising):
        mean, count = place - index * apart, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        pools.append((mean, count))
    rows = [mean for mean, count in pools for _ in range(count)]
    return [mean + index * apart for index, mean in enumerate(rows)]
