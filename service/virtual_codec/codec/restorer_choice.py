"""Choice of the model that restores an image: the one that describes it, or one of its alternatives.

Photographs and drawings (text, screenshots, charts, pixel art) need different post-processing. A model for drawings
restores the descriptions of the model for photographs. The stream names the model whose restored image is closer to the
original.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream
from virtual_codec.codec.mode_decision import candidate_points
from virtual_codec.codec.model import ModelNetworks, condition_of
from virtual_codec.codec.operating import OperatingPoint, OperatingTable
from virtual_codec.codec.trial import Trials
from virtual_codec.codecs import CODECS, JpegSettings
from virtual_codec.errors import BadModel
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions
from virtual_codec.logs import Event

# Least share of flat samples of an image for which alternatives are tried. In `python -m benchmarks.drawings`, 95 % of
# held-out photographs have at most 0.22, 95 % of the same photographs enlarged at most 0.32, and 95 % of rendered
# drawings at least 0.45.
_MIN_FLAT_SHARE: Final = 0.35
_BAND_ROWS: Final = 256

_LOG: Final = logging.getLogger(__name__)


def with_best_restorer(
    trials: Trials, alternatives: Sequence[ModelNetworks], table: OperatingTable, options: CompressOptions
) -> Trials:
    """Trials of the same image, restored by the model with the least squared error on the probe.

    Each model restores the probe at the first candidate point of the quality, or of the default quality if the options
    have a target. Alternatives are tried only for images with flat areas, so photographs take no longer. A model with
    damaged weights is skipped, and logged as `alternative_refused`.
    """
    if not alternatives or flat_share(trials.pixels) < _MIN_FLAT_SHARE:
        return trials
    multiplier = table.multiplier(options.quality or DEFAULT_QUALITY)
    point = candidate_points(trials.probe, table, options, multiplier)[0]
    best, least = trials, _squared_error(trials.probe, point)
    for model in alternatives:
        other = trials.restored_by(model)
        try:
            model.warm_restoring()  # later trials may need other scales than the probe
            error = _squared_error(other.probe, point)
        except BadModel as reason:
            _log_refusal(model, reason)
            continue
        if error < least:
            best, least = other, error
    return best


def warm_alternatives(alternatives: Sequence[ModelNetworks]) -> None:
    """Load alternatives and restore a small picture by each, so that the first drawing does not wait.

    A model with damaged weights is passed over.
    """
    coded = CODECS["jpeg"].encode(np.zeros((48, 64, 3), np.uint8), JpegSettings(step=16.0))
    decoded, vector = CODECS["jpeg"].decode(coded), condition_of(bitstream.layout(coded), own=True)
    for model in alternatives:
        try:
            for scale in model.manifest.scales:
                model.restore(decoded, scale, vector)
        except BadModel as reason:
            _log_refusal(model, reason)


def _log_refusal(model: ModelNetworks, reason: BadModel) -> None:
    _LOG.error(Event("alternative_refused", model=model.manifest.id, reason=reason))


def _squared_error(probe: Trials, point: OperatingPoint) -> float:
    return probe.measure(point.mode, probe.settings(point.mode, point.step)).squared_error


def flat_share(pixels: NDArray[np.uint8]) -> float:
    """Share (0 to 1) of the samples of an image, [H, W, 3] or [H, W], that equal their right and lower neighbours.

    Only green or grey samples are counted. The share is 0 for an image with a side of one sample.
    """
    plane = pixels if pixels.ndim == 2 else pixels[..., 1]
    flat, count = 0, (plane.shape[0] - 1) * (plane.shape[1] - 1)
    for top in range(0, plane.shape[0] - 1, _BAND_ROWS):
        band = plane[top : top + _BAND_ROWS + 1]
        here = band[:-1, :-1]
        flat += int(np.count_nonzero((here == band[:-1, 1:]) & (here == band[1:, :-1])))
    return flat / count if count else 0.0
