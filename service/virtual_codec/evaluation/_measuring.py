"""Measurements of the codec under test, with one journal for each kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, final

from virtual_codec.evaluation._config import EvaluateConfig
from virtual_codec.evaluation._foreign import (
    FOREIGN_COLUMNS,
    ForeignPoint,
    ForeignRow,
    foreign_rows,
    key_of_foreign,
    restore_foreign,
)
from virtual_codec.evaluation._journal import Journal
from virtual_codec.evaluation._restored import restore_anchors, restored_name
from virtual_codec.evaluation._sweep import PointKey, TestedCodec, key_of, sweep
from virtual_codec.evaluation.pictures import Picture
from virtual_codec.evaluation.points import COLUMNS, Point

Progress = Callable[[int, int, str], None]  # steps done, total steps, note on the last step

POINTS_FILE: Final = "points.csv"
RESTORED_FILE: Final = "restored.csv"
FOREIGN_FILE: Final = "foreign.csv"


@final
class Counter:
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
        self.step(note, self._steps - self._done)  # grey pictures have fewer steps, because they have no colour JPEGs


def measure_codec(
    codec: TestedCodec,
    config: EvaluateConfig,
    pictures: Sequence[Picture],
    earlier: Sequence[Point],
    counter: Counter,
) -> list[Point]:
    wanted = {
        (picture.set, picture.name, variant.name, float(quality))
        for picture in pictures
        for variant in config.variants
        for quality in config.qualities
    }

    def measure(done: Collection[PointKey], found: Callable[[Point], None]) -> None:
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

    return _journalled(config, POINTS_FILE, wanted, earlier, counter, measure)


def measure_restored(
    codec: TestedCodec,
    config: EvaluateConfig,
    sweeps: Mapping[str, Sequence[float]],
    pictures: Sequence[Picture],
    earlier: Sequence[Point],
    counter: Counter,
) -> list[Point]:
    if not sweeps:
        return []
    wanted = {
        (picture.set, picture.name, restored_name(name), float(setting))
        for picture in pictures
        for name, settings in sweeps.items()
        for setting in settings
    }

    def measure(done: Collection[PointKey], found: Callable[[Point], None]) -> None:
        restore_anchors(
            codec,
            pictures,
            sweeps,
            workers=config.workers,
            with_ssimulacra2=config.ssimulacra2,
            done=done,
            found=found,
        )

    return _journalled(config, RESTORED_FILE, wanted, earlier, counter, measure)


def _journalled(
    config: EvaluateConfig,
    file: str,
    wanted: Collection[PointKey],
    earlier: Sequence[Point],
    counter: Counter,
    measure: Callable[[Collection[PointKey], Callable[[Point], None]], None],
) -> list[Point]:
    """Points of `wanted`: rows of an earlier run, and points that `measure(done, found)` passes to `found`.

    All of them are written into a journal named `file`.
    """
    kept = [
        point for point in earlier if key_of(point) in wanted and not (config.ssimulacra2 and point.ssimulacra2 is None)
    ]
    journal = Journal(config.out_dir / file, COLUMNS, kept)
    done = {key_of(point) for point in kept}
    counter.step("resumed", len(done))

    def found(point: Point) -> None:
        journal.add(point)
        counter.step(f"{point.codec} {point.setting:g} {point.set}/{point.image}")

    measure(done, found)
    journal.finish(key_of)
    return journal.rows


def measure_foreign(
    codec: TestedCodec,
    config: EvaluateConfig,
    pictures: Sequence[Picture],
    earlier: Sequence[ForeignPoint],
    counter: Counter,
) -> list[ForeignRow]:
    names = {(picture.set, picture.name) for picture in pictures}
    kept = [
        point
        for point in earlier
        if (point.set, point.image) in names
        and point.kind in config.foreign_kinds
        and point.quality in config.foreign_qualities
    ]
    journal = Journal(config.out_dir / FOREIGN_FILE, FOREIGN_COLUMNS, kept)
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
