"""Evaluation of a codec: measurements, comparison and report.

pictures ──► codec under test ──► points.csv  ──┐
    ├──────► standard codecs (cached) ──────────┼──► summary.json, results.md, rate_distortion.png
    ├──────► their files ──► restored.csv ──────┤
    └──────► ordinary JPEGs ──► foreign.csv ────┘
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import PIL
from PIL import features

from virtual_codec.evaluation._anchors import ANCHORS, measure_anchors
from virtual_codec.evaluation._config import EvaluateConfig, quick_config
from virtual_codec.evaluation._foreign import ForeignPoint, ForeignRow
from virtual_codec.evaluation._measuring import (
    FOREIGN_FILE,
    POINTS_FILE,
    RESTORED_FILE,
    Counter,
    Progress,
    measure_codec,
    measure_foreign,
    measure_restored,
)
from virtual_codec.evaluation._report import results_markdown
from virtual_codec.evaluation._restored import restored_name
from virtual_codec.evaluation._resumed import resumed_foreign, resumed_points, resumed_restored
from virtual_codec.evaluation._summary import Summary, summarise
from virtual_codec.evaluation._sweep import TestedCodec
from virtual_codec.evaluation.pictures import find_pictures
from virtual_codec.evaluation.points import Point
from virtual_codec.ssimulacra2 import MISSING, is_available

_NO_PLOT: Final = "There is no plot: matplotlib is missing. `pip install 'virtual-codec[evaluate]'` installs it."


def evaluate(codec: TestedCodec, config: EvaluateConfig, *, progress: Progress | None = None) -> Summary:
    """Measure a codec, write the report into `config.out_dir` and return its summary.

    Raises `BadTrainingData` if there is no picture or a damaged one. Raises `BadOption` before any measurement if the
    rows to resume from belong to another model. An exception of the codec ends the evaluation.
    """
    config = quick_config(config) if config.quick else config
    pictures = find_pictures(config.data_dir, per_set=config.pictures_per_set)
    config.out_dir.mkdir(parents=True, exist_ok=True)
    earlier_points = (
        resumed_points(codec, config.out_dir / POINTS_FILE, config.variants, config.alternatives)
        if config.resume
        else []
    )
    earlier_foreign = _resumed_foreign(codec, config)
    earlier_restored = resumed_restored(codec, config.out_dir / RESTORED_FILE, config.restored) if config.resume else []
    notes = []
    sweeps: dict[str, Sequence[float]] = {}
    for name in dict.fromkeys(("jpeg", *config.anchors)):
        if ANCHORS[name].is_available():
            sweeps[name] = ANCHORS[name].settings
        else:
            notes.append(f"{ANCHORS[name].label} is missing: this Pillow was built without it.")
    if config.ssimulacra2 and not is_available():
        notes.append(MISSING)
        config = replace(config, ssimulacra2=False)
    if not _can_plot():
        notes.append(_NO_PLOT)
    sweeps["jpeg"] = sorted({*sweeps["jpeg"], *map(float, config.qualities)})
    of_restored = {name: sweeps[name] for name in config.restored if name in sweeps}

    steps = len(pictures) * (len(sweeps) + len(config.variants) * len(config.qualities))
    steps += len(pictures) * sum(map(len, of_restored.values()))
    steps += len(pictures) * len(config.foreign_kinds) * len(config.foreign_qualities)
    counter = Counter(steps, progress)
    anchors = measure_anchors(
        pictures,
        sweeps,
        config.cache_dir or default_cache_dir(),
        workers=config.workers,
        with_ssimulacra2=config.ssimulacra2,
        progress=counter.step,
    )
    points = measure_codec(codec, config, pictures, earlier_points, counter)
    restored = measure_restored(codec, config, of_restored, pictures, earlier_restored, counter)
    notes += [_restored_with(name, restored) for name in of_restored]
    foreign = measure_foreign(codec, config, pictures, earlier_foreign, counter)

    names = [variant.name for variant in config.variants]
    summary = summarise([*points, *anchors, *restored], names, foreign, versions=_versions(list(sweeps)), notes=notes)
    _write_report(config.out_dir, summary, [*points, *anchors, *restored], names)
    return summary


def evaluate_foreign(
    codec: TestedCodec, config: EvaluateConfig, *, progress: Progress | None = None
) -> list[ForeignRow]:
    """Restore foreign JPEGs only: write foreign.csv and return its means. Raises the errors of `evaluate`."""
    config = quick_config(config) if config.quick else config
    pictures = find_pictures(config.data_dir, per_set=config.pictures_per_set)
    config.out_dir.mkdir(parents=True, exist_ok=True)
    steps = len(pictures) * len(config.foreign_kinds) * len(config.foreign_qualities)
    return measure_foreign(codec, config, pictures, _resumed_foreign(codec, config), Counter(steps, progress))


def precompute_anchors(config: EvaluateConfig, *, progress: Progress | None = None) -> None:
    """Fill the cache of the anchors' measurements only. No codec under test is needed."""
    config = quick_config(config) if config.quick else config
    pictures = find_pictures(config.data_dir, per_set=config.pictures_per_set)
    sweeps = {name: ANCHORS[name].settings for name in config.anchors if ANCHORS[name].is_available()}
    counter = Counter(len(pictures) * len(sweeps), progress)
    cache_dir = config.cache_dir or default_cache_dir()
    measure_anchors(pictures, sweeps, cache_dir, workers=config.workers, progress=counter.step)


def default_cache_dir() -> Path:
    """Default folder of the anchors' measurements."""
    return Path.home() / ".cache" / "virtual-codec" / "anchors"


def _write_report(out_dir: Path, summary: Summary, points: Sequence[Point], variants: Sequence[str]) -> None:
    (out_dir / "summary.json").write_text(summary.to_json(), encoding="utf-8")
    plot = None
    if _can_plot():
        from virtual_codec.evaluation._plot import plot_rate_distortion

        plot = "rate_distortion.png"
        plot_rate_distortion(points, variants, out_dir / plot)
    text = results_markdown(summary, plot=plot)
    (out_dir / "results.md").write_text(text, encoding="utf-8")


def _can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None  # of the optional extra `evaluate`


def _versions(anchors: Sequence[str]) -> dict[str, str]:
    encoders = {ANCHORS[name].label: str(features.version(ANCHORS[name].feature)) for name in anchors}
    return {"Pillow": PIL.__version__, **encoders}


def _resumed_foreign(codec: TestedCodec, config: EvaluateConfig) -> list[ForeignPoint]:
    return resumed_foreign(codec, config.out_dir / FOREIGN_FILE, config.foreign_kinds) if config.resume else []


def _restored_with(anchor: str, points: Sequence[Point]) -> str:
    models = sorted({point.model for point in points if point.codec == restored_name(anchor)})
    return f"{ANCHORS[anchor].label}, restored: the same files after post-processing by {', '.join(models)}."
