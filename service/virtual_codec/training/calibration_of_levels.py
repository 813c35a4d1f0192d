"""Calibration of a model for AVIF, WebP and JPEG 2000: the encoder's level for each quality.

images × levels         ─► mean PSNR of the restored images, bytes ─┐
images × JPEG qualities ─► mean PSNR, bytes                        ─┴─► level of each quality, within its promise
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from virtual_codec import bitstream
from virtual_codec.codec.levels import LevelTrials
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.promise import ALLOWED_BYTES
from virtual_codec.codec.quality_scale import level_of_decibels, ordinary_jpeg_psnr_db
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codecs import QUALITY_CODECS, QualityCodec
from virtual_codec.jobs import DEFAULT_EFFORT
from virtual_codec.training.calibration import ordinary_jpegs

_LEVELS: Final = (0, 8, 20, 32, 45, 58, 72, 86, 95, 100)
# Qualities that are measured for a codec whose levels are decibels, and its decibels above the ordinary JPEG.
_QUALITIES: Final = (1, 10, 35, 70, 90, 100)
_DECIBEL_OFFSETS: Final = (-3.0, -1.5, -0.5, 0.5)

_MAX_PICTURES: Final = 28  # pictures that are measured, about, evenly spread over the set

# Target size of a quality on a log scale: 0 is the size at the ordinary JPEG's PSNR, 1 the bytes allowed.
_SIZE_TARGET: Final = 0.4

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def calibrate_levels(
    model: ModelNetworks, pictures: Sequence[Pixels], *, show_progress: bool = True
) -> dict[str, list[float]]:
    """Tables of a manifest, `level-<codec>`, measured on [H, W, 3] photographs that no network was trained on."""
    pictures = pictures[:: max(1, len(pictures) // _MAX_PICTURES)]
    jpeg_psnr_db, jpeg_bytes = ordinary_jpegs(pictures)
    jpeg_psnr_db = np.maximum.accumulate(jpeg_psnr_db)
    tables = {}
    for codec in (QUALITY_CODECS[name] for name in model.manifest.codecs):
        measure = _Measurement(model, codec, pictures, show_progress)
        if codec.decibels is None:
            found = _levels(measure, codec, jpeg_psnr_db, jpeg_bytes)
        else:
            found = _decibels(measure, codec.decibels, jpeg_psnr_db, jpeg_bytes)
        tables[f"level-{codec.name}"] = [float(f"{value:.4g}") for value in found]
    return tables


def _levels(measure: _Measurement, codec: QualityCodec, jpeg_psnr_db: Floats, jpeg_bytes: Floats) -> Floats:
    """Level of each quality from 1 to 100: [100], rising."""
    levels = np.minimum(_LEVELS, codec.finest_level).astype(np.float64)
    curve = np.array([measure([level] * len(measure.pictures)) for level in levels])
    found = [
        _setting_within_promise(levels, curve, quality, jpeg_psnr_db[quality - 1], jpeg_bytes[quality - 1])
        for quality in range(1, 101)
    ]
    return np.maximum.accumulate(np.array(found))


def _decibels(measure: _Measurement, decibels: tuple[float, float], jpeg_psnr_db: Floats, jpeg_bytes: Floats) -> Floats:
    """PSNR target of each quality from 1 to 100, in dB above the ordinary JPEG of that quality: [100]."""
    found = []
    for quality in _QUALITIES:
        own = [ordinary_jpeg_psnr_db(picture, quality) for picture in measure.pictures]
        curve = np.array(
            [measure([level_of_decibels(decibels, each + more) for each in own]) for more in _DECIBEL_OFFSETS]
        )
        place = quality - 1
        found.append(
            _setting_within_promise(np.array(_DECIBEL_OFFSETS), curve, quality, jpeg_psnr_db[place], jpeg_bytes[place])
        )
    return np.interp(np.arange(1, 101), _QUALITIES, found)


def _setting_within_promise(
    settings: Floats, curve: Floats, quality: int, jpeg_psnr_db: float, jpeg_bytes: float
) -> float:
    """Setting between the one that has the ordinary JPEG's PSNR and the one that has the bytes allowed.

    `curve` [settings, 2] holds the mean PSNR in dB and the bytes of rising settings.
    """
    psnr_db, log_bytes = np.maximum.accumulate(curve[:, 0]), np.log(np.maximum.accumulate(curve[:, 1]))
    equal_size = float(np.interp(np.interp(jpeg_psnr_db, psnr_db, settings), settings, log_bytes))
    places, shares = np.array(ALLOWED_BYTES).T
    allowed = float(np.log(np.interp(quality, places, shares) * jpeg_bytes))
    wanted = equal_size + _SIZE_TARGET * max(0.0, allowed - equal_size)
    return float(np.interp(wanted, log_bytes, settings))


@final
class _Measurement:
    """Measurement of a codec: mean PSNR in dB of the restored pictures and total bytes, given a level for each picture.

    The bytes are those of the coded pictures alone, because containers weigh more in small pictures.
    """

    def __init__(
        self, model: ModelNetworks, codec: QualityCodec, pictures: Sequence[Pixels], show_progress: bool
    ) -> None:
        self._codec = codec
        self.pictures = pictures
        self._trials = [
            LevelTrials(picture, model, codec, effort=DEFAULT_EFFORT, stopwatch=Stopwatch()) for picture in pictures
        ]
        self._bar = tqdm(desc=f"calibrate {codec.name}", disable=not show_progress, mininterval=5)

    def __call__(self, levels: Sequence[float]) -> tuple[float, float]:
        psnr_db = size_bytes = 0.0
        for level, trials in zip(levels, self._trials, strict=True):
            trial = trials.measure(min(max(round(level), 0), self._codec.finest_level))
            psnr_db += min(trial.psnr_db, 60.0) / len(self.pictures)
            size_bytes += bitstream.picture_bytes(trial.stream, self._codec.name)
            self._bar.update()
        return psnr_db, size_bytes
