"""Evaluation of a codec: measure, compare, report.

pictures ──► codec under test ──► points.csv  ──┐
    ├──────► standard codecs (cached) ──────────┼──► summary.json, results.md, rate_distortion.png
    └──────► ordinary JPEGs ──► foreign.csv ────┘
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import PIL
from PIL import features

from virtual_codec.errors import BadOption
from virtual_codec.evaluation._anchors import ANCHORS, check_anchors, measure_anchors
from virtual_codec.evaluation._foreign import (
    FOREIGN_COLUMNS,
    KINDS,
    ForeignPoint,
    ForeignRow,
    foreign_rows,
    key_of_foreign,
    restore_foreign,
)
from virtual_codec.evaluation._journal import Journal
from virtual_codec.evaluation._report import results_markdown
from virtual_codec.evaluation._resumed import resumed_foreign, resumed_points
from virtual_codec.evaluation._summary import Summary, summarise
from virtual_codec.evaluation._sweep import TestedCodec, Variant, key_of, sweep
from virtual_codec.evaluation.pictures import Picture, find_pictures
from virtual_codec.evaluation.points import COLUMNS, Point
from virtual_codec.ssimulacra2 import MISSING, is_available

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what was done last

DEFAULT_QUALITIES: Final = (1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24, 30, 37, 45, 50, 55, 65, 75, 85, 92, 95)
FOREIGN_QUALITIES: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)

_POINTS: Final = "points.csv"
_FOREIGN: Final = "foreign.csv"

_NO_PLOT: Final = "The plot is missing: matplotlib is not installed; `pip install 'virtual-codec[evaluate]'` brings it."

_QUICK_QUALITIES: Final = (3, 7, 15, 30, 50, 75, 92)
_QUICK_FOREIGN_QUALITIES: Final = (10, 40, 70, 100)
_QUICK_ANCHORS: Final = ("jpeg", "webp")
_QUICK_PICTURES: Final = 4


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Configuration of an evaluation. Raises `BadOption` for values that cannot be measured.

    `data_dir` holds images, or folders of images, each a set. `quick` takes a few pictures of each set, a
    few qualities and the fast standard codecs. `variants` are options of the codec under test, `anchors`
    standard codecs; JPEG is always among them. `foreign_kinds` are kinds of foreign JPEGs to restore (none:
    skip that). `cache_dir` keeps the standard codecs' measurements, by default in the user's cache. With
    `resume` the rows that `out_dir` already has are not measured again: for an interrupted run of the same
    models. `ssimulacra2` adds that metric if its package is installed.
    """

    data_dir: Path
    out_dir: Path
    quick: bool = False
    qualities: tuple[int, ...] = DEFAULT_QUALITIES
    variants: tuple[Variant, ...] = (Variant(name="virtual-codec"),)
    anchors: tuple[str, ...] = ("jpeg", "webp", "jpeg2000", "avif")
    foreign_qualities: tuple[int, ...] = FOREIGN_QUALITIES
    foreign_kinds: tuple[str, ...] = ("colour", "grey")
    pictures_per_set: int | None = None
    workers: int = 2
    cache_dir: Path | None = None
    resume: bool = False
    ssimulacra2: bool = False

    def __post_init__(self) -> None:
        check_anchors(self.anchors)
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names) or not ANCHORS.keys().isdisjoint(names):
            raise BadOption(f"variants need names of their own, not {', '.join(ANCHORS)}; got {', '.join(names)}")
        if not all(1 <= quality <= 100 for quality in (*self.qualities, *self.foreign_qualities)):
            raise BadOption("qualities must be from 1 to 100")
        if not set(self.foreign_kinds) <= KINDS.keys():
            raise BadOption(f"kinds of JPEGs are {', '.join(KINDS)}; got {', '.join(self.foreign_kinds)}")
        if self.workers < 1:
            raise BadOption(f"workers must be at least 1, got {self.workers}")


def evaluate(codec: TestedCodec, config: EvaluateConfig, *, progress: Progress | None = None) -> Summary:
    """Measure a codec, write the report into `config.out_dir` and return what it says.

    Raises `BadTrainingData` where there is no picture, or a damaged one, and `BadOption` before anything is measured if
    the rows to resume from are of another model. Whatever the codec raises ends the evaluation.
    """
    config = _quickened(config) if config.quick else config
    pictures = find_pictures(config.data_dir, per_set=config.pictures_per_set)
    config.out_dir.mkdir(parents=True, exist_ok=True)
    earlier_points = resumed_points(codec, config.out_dir / _POINTS, config.variants) if config.resume else []
    earlier_foreign = _resumed_foreign(codec, config)
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

    steps = len(pictures) * (len(sweeps) + len(config.variants) * len(config.qualities))
    steps += len(pictures) * len(config.foreign_kinds) * len(config.foreign_qualities)
    counter = _Counter(steps, progress)
    anchors = measure_anchors(
        pictures,
        sweeps,
        config.cache_dir or default_cache_dir(),
        workers=config.workers,
        with_ssimulacra2=config.ssimulacra2,
        progress=counter.step,
    )
    points = _measure_codec(codec, config, pictures, earlier_points, counter)
    foreign = _measure_foreign(codec, config, pictures, earlier_foreign, counter)

    names = [variant.name for variant in config.variants]
    summary = summarise([*points, *anchors], names, foreign, versions=_versions(list(sweeps)), notes=notes)
    _write_report(config.out_dir, summary, [*points, *anchors], names)
    return summary


def evaluate_foreign(
    codec: TestedCodec, config: EvaluateConfig, *, progress: Progress | None = None
) -> list[ForeignRow]:
    """Restore foreign JPEGs only, into foreign.csv of `config.out_dir`; return its means. Raises as `evaluate` does."""
    config = _quickened(config) if config.quick else config
    pictures = find_pictures(config.data_dir, per_set=config.pictures_per_set)
    config.out_dir.mkdir(parents=True, exist_ok=True)
    steps = len(pictures) * len(config.foreign_kinds) * len(config.foreign_qualities)
    return _measure_foreign(codec, config, pictures, _resumed_foreign(codec, config), _Counter(steps, progress))


def precompute_anchors(config: EvaluateConfig, *, progress: Progress | None = None) -> None:
    """Fill the cache of the anchors' measurements only, which needs no codec under test."""
    config = _quickened(config) if config.quick else config
    pictures = find_pictures(config.data_dir, per_set=config.pictures_per_set)
    sweeps = {name: ANCHORS[name].settings for name in config.anchors if ANCHORS[name].is_available()}
    counter = _Counter(len(pictures) * len(sweeps), progress)
    cache_dir = config.cache_dir or default_cache_dir()
    measure_anchors(pictures, sweeps, cache_dir, workers=config.workers, progress=counter.step)


def default_cache_dir() -> Path:
    """Default folder of the anchors' measurements."""
    return Path.home() / ".cache" / "virtual-codec" / "anchors"


@final
class _Counter:
    """Thread-safe counter of steps that reports each to the progress callback."""

    def __init__(self, steps: int, progress: Progress | None) -> None:
        self._steps = steps
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def step(self, note: str, count: int = 1) -> None:
        with self._lock:
            self._done += count
            if self._progress is not None:
                self._progress(self._done, self._steps, note)

    def finish(self, note: str) -> None:
        self.step(note, self._steps - self._done)  # grey pictures have no colour JPEGs, and so fewer steps


def _quickened(config: EvaluateConfig) -> EvaluateConfig:
    return replace(
        config,
        qualities=_QUICK_QUALITIES if config.qualities == DEFAULT_QUALITIES else config.qualities,
        anchors=tuple(name for name in config.anchors if name in _QUICK_ANCHORS),
        foreign_qualities=_QUICK_FOREIGN_QUALITIES,
        pictures_per_set=config.pictures_per_set or _QUICK_PICTURES,
    )


def _measure_codec(
    codec: TestedCodec,
    config: EvaluateConfig,
    pictures: Sequence[Picture],
    earlier: Sequence[Point],
    counter: _Counter,
) -> list[Point]:
    wanted = {
        (picture.set, picture.name, variant.name, float(quality))
        for picture in pictures
        for variant in config.variants
        for quality in config.qualities
    }
    kept = [
        point for point in earlier if key_of(point) in wanted and not (config.ssimulacra2 and point.ssimulacra2 is None)
    ]
    journal = Journal(config.out_dir / _POINTS, COLUMNS, kept)
    done = {key_of(point) for point in kept}
    counter.step("resumed", len(done))

    def found(point: Point) -> None:
        journal.add(point)
        counter.step(f"{point.codec} {point.setting:g} {point.set}/{point.image}")

    sweep(
        codec,
        pictures,
        config.variants,
        config.qualities,
        workers=config.workers,
        with_ssimulacra2=config.ssimulacra2,
        done=done,
        found=found,
    )
    journal.finish(key_of)
    return journal.rows


def _resumed_foreign(codec: TestedCodec, config: EvaluateConfig) -> list[ForeignPoint]:
    return resumed_foreign(codec, config.out_dir / _FOREIGN, config.foreign_kinds) if config.resume else []


def _measure_foreign(
    codec: TestedCodec,
    config: EvaluateConfig,
    pictures: Sequence[Picture],
    earlier: Sequence[ForeignPoint],
    counter: _Counter,
) -> list[ForeignRow]:
    names = {(picture.set, picture.name) for picture in pictures}
    kept = [
        point
        for point in earlier
        if (point.set, point.image) in names
        and point.kind in config.foreign_kinds
        and point.quality in config.foreign_qualities
    ]
    journal = Journal(config.out_dir / _FOREIGN, FOREIGN_COLUMNS, kept)
    done = {key_of_foreign(point) for point in kept}
    counter.step("resumed", len(done))

    def found(point: ForeignPoint) -> None:
        journal.add(point)
        counter.step(f"restore {point.kind} {point.quality} {point.set}/{point.image}")

    restore_foreign(
        codec,
        pictures,
        config.foreign_kinds,
        config.foreign_qualities,
        workers=config.workers,
        done=done,
        found=found,
    )
    journal.finish(key_of_foreign)
    counter.finish("all measured")
    return foreign_rows(journal.rows)


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
