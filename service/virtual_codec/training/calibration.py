"""Calibration of a model: the tables of `virtual_codec.codec.operating`, measured on held-out photographs.

images × modes × steps ─► squared error and bits ─► for each exchange rate: steps, shares, mean PSNR, bytes
images × JPEG qualities ─► mean PSNR and bytes   ─► for each quality: an exchange rate within its promise
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from virtual_codec import bitstream
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.operating import MODES
from virtual_codec.codec.promise import ALLOWED_BYTES, LOWEST_PROMISED
from virtual_codec.codec.trial import Stopwatch, Trials, mean_squared_error
from virtual_codec.codecs import CODECS

_STEPS: Final = np.exp(np.linspace(np.log(1.0), np.log(180.0), 15))
_RATES: Final = np.exp(
    np.linspace(np.log(0.02), np.log(4000.0), 160)
)  # Lagrange multipliers: squared error for one bit

# Target size of a quality between that at JPEG's PSNR (0) and the bytes allowed (1), on a log scale. A margin on both
# sides is needed because sets of photographs differ.
_SIZE_TARGET: Final = 0.6

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Hull:
    """Best mode at each of `_RATES`: [rates, modes] steps and shares, [rates] mean PSNR and bytes."""

    steps: Floats
    shares: Floats
    psnr_db: Floats
    size_bytes: Floats


def calibrate(
    model: ModelNetworks, pictures: Sequence[NDArray[np.uint8]], *, show_progress: bool = True
) -> dict[str, list[float]]:
    """Tables of a manifest, measured on [H, W, 3] photographs that no network was trained on."""
    hull = _hull(pictures, *_measured(model, pictures, show_progress))
    rates = _log_multiplier_of_qualities(hull, *ordinary_jpegs(pictures))
    at = np.log(_RATES)
    tables = {"worth": np.exp(rates)}
    for index, mode in enumerate(MODES):
        tables[f"step-{mode.name}"] = np.exp(np.interp(rates, at, np.log(hull.steps[:, index])))
        tables[f"share-{mode.name}"] = np.interp(rates, at, hull.shares[:, index])
    return {key: [float(f"{value:.5g}") for value in values] for key, values in tables.items()}


def _log_multiplier_of_qualities(hull: _Hull, jpeg_psnr_db: Floats, jpeg_bytes: Floats) -> Floats:
    """Log exchange rate of each quality, [100], falling."""
    rates, qualities = np.log(_RATES), np.arange(1, 101)
    psnr_db, size = np.minimum.accumulate(hull.psnr_db), np.log(np.minimum.accumulate(hull.size_bytes))
    equal = np.interp(-np.maximum.accumulate(jpeg_psnr_db), -psnr_db, rates)  # interp wants rising abscissas
    equal_size = np.interp(equal, rates, size)
    places, shares = np.array(ALLOWED_BYTES).T
    allowed = np.log(np.interp(qualities, places, shares) * jpeg_bytes)
    wanted = equal_size + _SIZE_TARGET * np.maximum(0, allowed - equal_size)
    multiplier: Floats = np.minimum.accumulate(np.interp(-wanted, -size, rates))
    below = qualities < LOWEST_PROMISED  # down to the coarsest there is, where nothing is promised
    multiplier[below] = np.interp(qualities[below], [1, LOWEST_PROMISED], [rates[-1], multiplier[LOWEST_PROMISED - 1]])
    return multiplier


def _hull(pictures: Sequence[NDArray[np.uint8]], errors: Floats, bits: Floats, coded_bytes: Floats) -> _Hull:
    pixels = np.array([image.shape[0] * image.shape[1] for image in pictures], np.float64)
    fine = np.linspace(np.log(_STEPS[0]), np.log(_STEPS[-1]), 400)
    log_errors, log_bits, log_bytes = (_refined(np.log(values), fine) for values in (errors, bits, coded_bytes))
    favour = np.array([[mode.favour] for mode in MODES])
    image = np.arange(len(pictures))
    rows: list[tuple[Floats, Floats, float, float]] = []
    for rate in _RATES:
        cost = np.exp(log_errors) * pixels[None, :, None] + rate * np.exp(log_bits)  # [modes, images, steps]
        best = cost.argmin(axis=2)
        mode = (cost.min(axis=2) * favour).argmin(axis=0)
        step = best[mode, image]
        rows.append(
            (
                np.exp(fine[best].mean(axis=1)),
                np.array([float((mode == index).mean()) for index in range(len(MODES))]),
                float(np.mean(10 * np.log10(255**2) - 10 / np.log(10) * log_errors[mode, image, step])),
                float(np.exp(log_bytes[mode, image, step]).sum()),
            )
        )
    steps, shares, psnr_db, size_bytes = (np.array(column) for column in zip(*rows, strict=True))
    return _Hull(steps=steps, shares=shares, psnr_db=psnr_db, size_bytes=size_bytes)


def _measured(
    model: ModelNetworks, pictures: Sequence[NDArray[np.uint8]], show_progress: bool
) -> tuple[Floats, Floats, Floats]:
    """Mean squared error, bits, and bytes of coded data, each [modes, images, steps].

    The data alone is compared with JPEG's: headers weigh more in the small pictures of a training set than in any
    that people compress.
    """
    errors = np.empty((len(MODES), len(pictures), len(_STEPS)))
    bits, coded_bytes = np.empty_like(errors), np.empty_like(errors)
    bar = tqdm(total=errors.size, desc="calibrate", disable=not show_progress, mininterval=5)
    for column, image in enumerate(pictures):
        trials = Trials(image, model, CODECS["jpeg"], stopwatch=Stopwatch())
        for row, mode in enumerate(MODES):
            for place, step in enumerate(_STEPS):
                trial = trials.measure(mode, trials.settings(mode, float(step)))
                errors[row, column, place] = max(trial.squared_error, 1e-3)
                bits[row, column, place] = 8 * trial.size_bytes
                coded_bytes[row, column, place] = bitstream.layout(trial.coded).entropy_bytes
                bar.update()
    bar.close()
    return errors, bits, coded_bytes


def _refined(values: Floats, fine: Floats) -> Floats:
    """Interpolate [modes, images, _STEPS] to the log steps of `fine`."""
    flat = values.reshape(-1, values.shape[-1])
    refined = np.stack([np.interp(fine, np.log(_STEPS), row) for row in flat])
    return refined.reshape(*values.shape[:2], len(fine))


def ordinary_jpegs(pictures: Sequence[NDArray[np.uint8]]) -> tuple[Floats, Floats]:
    """Ordinary JPEGs of qualities 1 to 100 (libjpeg's tables, 4:2:0, optimised): mean PSNR (RGB), bytes of data."""
    psnr_db, size_bytes = np.zeros(100), np.zeros(100)
    for quality in range(1, 101):
        for image in pictures:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=2, optimize=True)
            error = mean_squared_error(np.asarray(Image.open(file)), image)
            psnr_db[quality - 1] += 10 * np.log10(255**2 / max(error, 1e-3)) / len(pictures)
            size_bytes[quality - 1] += bitstream.layout(file.getvalue()).entropy_bytes
    return psnr_db, size_bytes
