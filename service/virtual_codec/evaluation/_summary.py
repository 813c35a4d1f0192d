"""Summary of the measurements, written as summary.json.

points ──► BD-rates against JPEG · means at equal rates · each quality against JPEG's · times
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from virtual_codec.evaluation._drift import REFERENCE, DriftRow, drift_rows
from virtual_codec.evaluation._foreign import ForeignRow
from virtual_codec.evaluation.curves import METRICS, BdRate, at_rates, compare_rates, curves, mean_curve
from virtual_codec.evaluation.points import Point

BD_RANGES_BPP: Final = ((0.1, 0.4), (0.05, 1.0), (0.1, 1.0))
MEAN_RATES_BPP: Final = (0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
CONTRACT_QUALITIES: Final = range(5, 96)  # range of the promise of the option `quality`
CONTRACT_BYTES_UP_TO: Final = ((50, 0.7), (100, 1.0))  # highest quality -> largest share of JPEG's bytes


@dataclass(frozen=True, kw_only=True)
class SetRow:
    """Size of a set of test images."""

    set: str
    images: int
    megapixels: float


@dataclass(frozen=True, kw_only=True)
class MeanRow:
    """Mean metric of a set at some rates, or None if fewer than nine tenths of the images reach the rate."""

    set: str
    codec: str
    metric: str
    at_bpp: tuple[float, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """Quality of the codec under test against JPEG of the same quality, means over a set.

    `byte_ratio` is the ratio of its total bytes to JPEG's. `gain_at_equal_bytes` is in dB of RGB PSNR, the mean over
    the `gain_images` images whose size JPEG can reach. `scales` are shares of images, 0 to 1. `promise` is True if the
    promise of the quality was kept, and None if there is none for the quality.
    """

    set: str
    codec: str
    quality: int
    images: int
    bpp: float
    jpeg_bpp: float
    psnr_rgb: float
    jpeg_psnr_rgb: float
    byte_ratio: float
    gain_at_equal_bytes: float | None
    gain_images: int
    scales: Mapping[str, float]
    promise: bool | None


@dataclass(frozen=True, kw_only=True)
class TimeRow:
    """Mean wall-clock seconds per image and per megapixel, on a machine that may do other work."""

    set: str
    codec: str
    compress_s: float
    restore_s: float
    compress_s_per_megapixel: float
    restore_s_per_megapixel: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Tables of an evaluation. `models` are the ids of the models that made the streams."""

    models: tuple[str, ...]
    versions: Mapping[str, str]
    notes: tuple[str, ...]
    sets: tuple[SetRow, ...]
    bd_rates: tuple[BdRate, ...]
    means: tuple[MeanRow, ...]
    qualities: tuple[QualityRow, ...]
    times: tuple[TimeRow, ...]
    foreign: tuple[ForeignRow, ...]
    drifts: tuple[DriftRow, ...] = ()

    def to_json(self) -> str:
        """Text of summary.json."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    def bd_rate(self, set_name: str, codec: str, metric: str, low_bpp: float, high_bpp: float) -> BdRate | None:
        """Entry of `bd_rates`, or None if it was not measured."""
        wanted = (set_name, codec, metric, low_bpp, high_bpp)
        keys = {(row.set, row.codec, row.metric, row.low_bpp, row.high_bpp): row for row in self.bd_rates}
        return keys.get(wanted)


def summarise(
    points: Sequence[Point],
    variants: Sequence[str],
    foreign: Sequence[ForeignRow],
    *,
    versions: Mapping[str, str],
    notes: Sequence[str],
) -> Summary:
    """Compute the tables. `points` include those of the anchor named jpeg; `variants` are the codecs under test."""
    groups = by_set_and_codec(points)
    return Summary(
        models=tuple(sorted({point.model for point in points if point.model and point.codec in variants})),
        versions=versions,
        notes=tuple(notes),
        sets=tuple(_set_row(name, points) for name in dict.fromkeys(point.set for point in points)),
        bd_rates=tuple(row for key in groups for row in _bd_rates(*key, groups, _measured_metrics(points))),
        means=tuple(_mean_row(*key, metric, groups[key]) for key in groups for metric in _measured_metrics(points)),
        qualities=tuple(row for key in groups if key[1] in variants for row in _quality_rows(*key, groups)),
        times=tuple(_time_row(*key, group) for key, group in groups.items()),
        foreign=tuple(foreign),
        drifts=tuple(
            row
            for key in groups
            if key[1] in variants
            for row in drift_rows(*key, groups[key], groups.get((key[0], REFERENCE), []))
        ),
    )


Groups = dict[tuple[str, str], list[Point]]


def by_set_and_codec(points: Iterable[Point]) -> Groups:
    """Points grouped by (set, codec): sets by name, codecs in order of appearance."""
    groups: Groups = {}
    for point in points:
        groups.setdefault((point.set, point.codec), []).append(point)
    return dict(sorted(groups.items(), key=lambda group: group[0][0]))


def _measured_metrics(points: Iterable[Point]) -> list[str]:
    """Names of the metrics, without optional ones that no point has."""
    points = list(points)
    return [
        name
        for name, metric in METRICS.items()
        if not metric.is_optional or any(getattr(point, name) is not None for point in points)
    ]


def _set_row(name: str, points: Iterable[Point]) -> SetRow:
    sizes = {point.image: point.width * point.height for point in points if point.set == name}
    return SetRow(set=name, images=len(sizes), megapixels=round(sum(sizes.values()) / 1e6, 3))


def _bd_rates(set_name: str, codec: str, groups: Groups, measured: Sequence[str]) -> list[BdRate]:
    if codec == "jpeg":
        return []
    rows = []
    for metric in measured:
        anchor = curves(groups[set_name, "jpeg"], metric)
        test = curves(groups[set_name, codec], metric)
        for low, high in BD_RANGES_BPP:
            found, without = compare_rates(anchor, test, low, high)
            rows.append(
                BdRate(
                    set=set_name,
                    codec=codec,
                    metric=metric,
                    low_bpp=low,
                    high_bpp=high,
                    percent=float(np.mean(found)) if found else None,
                    images=len(found),
                    without_overlap=without,
                )
            )
    return rows


def _mean_row(set_name: str, codec: str, metric: str, points: Sequence[Point]) -> MeanRow:
    values = mean_curve(points, metric, MEAN_RATES_BPP)
    return MeanRow(set=set_name, codec=codec, metric=metric, at_bpp=MEAN_RATES_BPP, values=tuple(values))


def _quality_rows(set_name: str, codec: str, groups: Groups) -> list[QualityRow]:
    jpeg = {(point.image, point.setting): point for point in groups[set_name, "jpeg"]}
    jpeg_curves = curves(groups[set_name, "jpeg"], "psnr_rgb")
    of_quality: dict[float, list[Point]] = {}
    for point in groups[set_name, codec]:
        of_quality.setdefault(point.setting, []).append(point)
    rows = []
    for quality, points in sorted(of_quality.items()):
        twins = [jpeg[point.image, quality] for point in points]
        gains = [float(point.psnr_rgb - at_rates(jpeg_curves[point.image], [point.bpp])[0]) for point in points]
        gains = [gain for gain in gains if not math.isnan(gain)]  # NaN if JPEG cannot make a file of that size
        ratio = sum(point.bytes for point in points) / sum(twin.bytes for twin in twins)
        psnr, jpeg_psnr = (float(np.mean([point.psnr_rgb for point in side])) for side in (points, twins))
        scales = [point.scale for point in points]
        rows.append(
            QualityRow(
                set=set_name,
                codec=codec,
                quality=int(quality),
                images=len(points),
                bpp=float(np.mean([point.bpp for point in points])),
                jpeg_bpp=float(np.mean([twin.bpp for twin in twins])),
                psnr_rgb=psnr,
                jpeg_psnr_rgb=jpeg_psnr,
                byte_ratio=ratio,
                gain_at_equal_bytes=float(np.mean(gains)) if gains else None,
                gain_images=len(gains),
                scales={str(scale): scales.count(scale) / len(scales) for scale in sorted(set(scales))},
                promise=_keeps_promise(int(quality), psnr - jpeg_psnr, ratio),
            )
        )
    return rows


def _keeps_promise(quality: int, gain_db: float, byte_ratio: float) -> bool | None:
    if quality not in CONTRACT_QUALITIES:
        return None
    most = next(ratio for up_to, ratio in CONTRACT_BYTES_UP_TO if quality <= up_to)
    return gain_db >= 0 and byte_ratio <= most


def _time_row(set_name: str, codec: str, points: Sequence[Point]) -> TimeRow:
    megapixels = sum(point.width * point.height for point in points) / 1e6
    compress_s, restore_s = (
        sum(point.compress_s for point in points),
        sum(point.restore_s for point in points),
    )
    return TimeRow(
        set=set_name,
        codec=codec,
        compress_s=compress_s / len(points),
        restore_s=restore_s / len(points),
        compress_s_per_megapixel=compress_s / megapixels,
        restore_s_per_megapixel=restore_s / megapixels,
    )
