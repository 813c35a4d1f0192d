"""Rows of an interrupted evaluation, checked to belong to the models under test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from virtual_codec.errors import BadOption
from virtual_codec.evaluation._anchors import ANCHORS
from virtual_codec.evaluation._foreign import ForeignPoint, foreign_jpeg
from virtual_codec.evaluation._journal import read_rows
from virtual_codec.evaluation._restored import restored_name
from virtual_codec.evaluation._sweep import TestedCodec, Variant, as_png
from virtual_codec.evaluation.points import Point

# Any picture does that no alternative restores, hence one without flat areas: only the name of the model is needed.
_PROBE_PICTURE: Final = np.add.outer(np.arange(32), 2 * np.arange(32)).astype(np.uint8)[..., None].repeat(3, axis=2)
_PROBE_QUALITY: Final = 50


def resumed_points(
    codec: TestedCodec, path: Path, variants: Iterable[Variant], alternatives: Mapping[str, Sequence[str]]
) -> list[Point]:
    """Rows of points.csv, empty without a file.

    The codec compresses one small picture for each variant that has rows. Raises `BadOption` if a variant's rows belong
    to another model than that picture's stream or one of its alternatives.
    """
    rows = read_rows(path, Point)
    for variant in variants:
        models = [row.model for row in rows if row.codec == variant.name]
        if models:
            probed = codec.compress(as_png(_PROBE_PICTURE), replace(variant.options, quality=_PROBE_QUALITY))
            _check_models(path, models, probed.model, alternatives.get(probed.model, ()))
    return rows


def resumed_restored(codec: TestedCodec, path: Path, anchors: Iterable[str]) -> list[Point]:
    """Rows of restored.csv, empty without a file. Raises `BadOption` if an anchor's rows belong to another model.

    The codec restores one small file of each anchor that has rows.
    """
    rows = read_rows(path, Point)
    for anchor in anchors:
        models = [row.model for row in rows if row.codec == restored_name(anchor)]
        if models:
            setting = ANCHORS[anchor].settings[0]
            _check_models(path, models, codec.restore(ANCHORS[anchor].encode(_PROBE_PICTURE, setting)).model)
    return rows


def resumed_foreign(codec: TestedCodec, path: Path, kinds: Sequence[str]) -> list[ForeignPoint]:
    """Rows of foreign.csv, empty without a file. Raises `BadOption` if rows of `kinds` belong to another model.

    Files of earlier versions do not name the model and are refused too. The codec restores one small JPEG.
    """
    rows = read_rows(path, ForeignPoint)
    models = [row.model for row in rows if row.kind in kinds]
    if models:
        _check_models(path, models, codec.restore(foreign_jpeg(_PROBE_PICTURE, "colour", _PROBE_QUALITY)).model)
    return rows


def _check_models(path: Path, models: Iterable[str], model: str, alternatives: Sequence[str] = ()) -> None:
    for other in sorted({*models} - {model, *alternatives}):
        measured = f"was measured with model {other}" if other else "does not state its model"
        raise BadOption(
            f"{path.name} {measured}; the present model is {model}. Remove {path}, or evaluate without resume"
        )
