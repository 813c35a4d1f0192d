"""Calibration of a model: the tables of `virtual_codec.codec.operating`, measured on held-out photographs.

images × modes × steps ─► squared error and bits ─► steps, shares, mean PSNR and bytes of each Lagrange multiplier
images × JPEG qualities ─► mean PSNR and bytes   ─► Lagrange multiplier of each quality, within its promise
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
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trials, mean_squared_error
from virtual_codec.codecs import CODECS

_STEPS: Final = np.exp(np.linspace(np.log(1.0), np.log(180.0), 15))
# Lagrange multipliers: squared error for one bit.
_MULTIPLIERS: Final = np.exp(np.linspace(np.log(0.02), np.log(4000.0), 160))

# Target size of a quality on a log scale: 0 is the size at the ordinary JPEG's PSNR, 1 the bytes allowed. Both sides
# need a margin because sets of photographs differ.
_SIZE_TARGET: Final = 0.6

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Hull:
    """Best modes at `_MULTIPLIERS`: steps and shares [multipliers, modes], mean PSNR and bytes [multipliers]."""

    steps: Floats
    shares: Floats
    psnr_db: Floats
    size_bytes: Floats


def calibrate(
    model: ModelNetworks, pictures: Sequence[NDArray[np.uint8]], *, show_progress: bool = True
) -> dict[str, list[float]]:
    """Tables of a manifest, measured on [H, W, 3] photographs that no network was trained on."""
    hull = _rate_distortion_hull(pictures, *_measure_trials(model, pictures, show_progress))
    of_qualities = _log_multipliers_of_qualities(hull, *ordinary_jpegs(pictures))
    log_multipliers = np.log(_MULTIPLIERS)
    tables = {"worth": np.exp(of_qualities)}
    for index, mode in enumerate(MODES):
        tables[f"step-{mode.name}"] = np.exp(np.interp(of_qualities, log_multipliers, np.log(hull.steps[:, index])))
        tables[f"share-{mode.name}"] = np.interp(of_qualities, log_multipliers, hull.shares[:, index])
    return {key: [float(f"{value:.5g}") for value in values] for key, values in tables.items()}


def _log_multipliers_of_qualities(hull: _Hull, jpeg_psnr_db: Floats, jpeg_bytes: Floats) -> Floats:
    """Logarithm of the Lagrange multiplier of each quality from 1 to 100: [100], falling."""
    log_multipliers, qualities = np.log(_MULTIPLIERS), np.arange(1, 101)
    psnr_db, size = np.minimum.accumulate(hull.psnr_db), np.log(np.minimum.accumulate(hull.size_bytes))
    # np.interp needs rising abscissas, so falling ones are negated.
    equal_psnr = np.interp(-np.maximum.accumulate(jpeg_psnr_db), -psnr_db, log_multipliers)
    equal_size = np.interp(equal_psnr, log_multipliers, size)
    promised_qualities, shares = np.array(ALLOWED_BYTES).T
    allowed = np.log(np.interp(qualities, promised_qualities, shares) * jpeg_bytes)
    target = equal_size + _SIZE_TARGET * np.maximum(0, allowed - equal_size)
    result: Floats = np.minimum.accumulate(np.interp(-target, -size, log_multipliers))
    # Nothing is promised below LOWEST_PROMISED, so quality 1 is the coarsest operating point.
    below = qualities < LOWEST_PROMISED
    ends = [log_multipliers[-1], result[LOWEST_PROMISED - 1]]
    result[below] = np.interp(qualities[below], [1, LOWEST_PROMISED], ends)
    return result


def _rate_distortion_hull(
    pictures: Sequence[NDArray[np.uint8]], errors: Floats, bits: Floats, coded_bytes: Floats
) -> _Hull:
    """Mode of least Lagrangian cost of each picture at each of `_MULTIPLIERS`, summarised over the pictures."""
    pixels = np.array([image.shape[0] * image.shape[1] for image in pictures], np.float64)
    fine = np.linspace(np.log(_STEPS[0]), np.log(_STEPS[-1]), 400)
    log_errors, log_bits, log_bytes = (_interpolated(np.log(values), fine) for values in (errors, bits, coded_bytes))
    factors = np.array([[mode.cost_factor] for mode in MODES])
    image = np.arange(len(pictures))
    rows: list[tuple[Floats, Floats, float, float]] = []
    for multiplier in _MULTIPLIERS:
        cost = np.exp(log_errors) * pixels[None, :, None] + multiplier * np.exp(log_bits)  # [modes, images, steps]
        best = cost.argmin(axis=2)
        mode = (cost.min(axis=2) * factors).argmin(axis=0)
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


def _measure_trials(
    model: ModelNetworks, pictures: Sequence[NDArray[np.uint8]], show_progress: bool
) -> tuple[Floats, Floats, Floats]:
    """Mean squared error, bits, and bytes of coded data of each trial: [modes, images, steps] each.

    The bytes of coded data are compared with those of ordinary JPEGs. Headers do not count, because they weigh more in
    the small pictures of a training set than in the pictures of users.
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


def _interpolated(values: Floats, fine: Floats) -> Floats:
    """Interpolate [modes, images, _STEPS] to the log steps of `fine`."""
    flat = values.reshape(-1, values.shape[-1])
    refined = np.stack([np.interp(fine, np.log(_STEPS), row) for row in flat])
    return refined.reshape(*values.shape[:2], len(fine))


def ordinary_jpegs(pictures: Sequence[NDArray[np.uint8]]) -> tuple[Floats, Floats]:
    """Mean PSNR (RGB, dB) and bytes of coded data of ordinary JPEGs of qualities 1 to 100: [100] each.

    The JPEGs have libjpeg's tables, 4:2:0 and optimised Huffman codes.
    """
    psnr_db, size_bytes = np.zeros(100), np.zeros(100)
    for quality in range(1, 101):
        for image in pictures:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=2, optimize=True)
            error = mean_squared_error(np.asarray(Image.open(file)), image)
            psnr_db[quality - 1] += 10 * np.log10(255**2 / max(error, 1e-3)) / len(pictures)
            size_bytes[quality - 1] += bitstream.layout(file.getvalue()).entropy_bytes
    return psnr_db, size_bytes
