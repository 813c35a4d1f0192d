"""Measures, for a finished model, what each quality stands for: the tables of `service.codec.operating`.

images × modes × steps ─► squared error and bits ─► for each exchange rate: steps, shares, mean PSNR
                                                 ─► for each quality: the exchange rate that reaches JPEG's PSNR
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from service.codec.model import LoadedModel
from service.codec.operating import MODES
from service.codec.trial import Stopwatch, Trials, mean_squared_error
from service.codecs import CODECS

_STEPS: Final = np.exp(np.linspace(np.log(1.0), np.log(180.0), 15))
_RATES: Final = np.exp(np.linspace(np.log(0.02), np.log(4000.0), 160))  # squared error that one bit is worth
_MARGIN_DB: Final = 0.2  # between sets of photographs, the gain over JPEG differs by about this


def calibrate(
    model: LoadedModel, pictures: Sequence[NDArray[np.uint8]], *, show_progress: bool = True
) -> dict[str, list[float]]:
    """The manifest's tables, measured on [H, W, 3] photographs that no network was trained on."""
    errors, bits = _measured(model, pictures, show_progress)
    pixels = np.array([image.shape[0] * image.shape[1] for image in pictures], np.float64)
    fine = np.exp(np.linspace(np.log(_STEPS[0]), np.log(_STEPS[-1]), 400))
    log_errors = _refined(np.log(errors + 1e-3), fine)
    log_bits = _refined(np.log(bits), fine)
    favour = np.array([[mode.favour] for mode in MODES])
    steps, shares, psnr = [], [], []
    for rate in _RATES:
        cost = np.exp(log_errors) * pixels[None, :, None] + rate * np.exp(log_bits)  # [modes, images, steps]
        best = cost.argmin(axis=2)
        steps.append([float(np.exp(np.log(fine)[best[mode]].mean())) for mode in range(len(MODES))])
        winner = (cost.min(axis=2) * favour).argmin(axis=0)
        shares.append([float((winner == mode).mean()) for mode in range(len(MODES))])
        chosen = np.take_along_axis(log_errors, best[..., None], axis=2)[..., 0]
        reached = chosen[winner, np.arange(len(pictures))]
        psnr.append(float(np.mean(10 * np.log10(255**2 / np.exp(reached)))))
    wanted = np.array([_jpeg_psnr(pictures, quality) for quality in range(1, 101)]) + _MARGIN_DB
    falling = np.minimum.accumulate(np.array(psnr))  # in order of rising exchange rate
    rates = np.exp(np.interp(-np.maximum.accumulate(wanted), -falling, np.log(_RATES)))
    at = np.log(_RATES)
    tables = {"worth": rates}
    for index, mode in enumerate(MODES):
        tables[f"step-{mode.name}"] = np.exp(np.interp(np.log(rates), at, np.log(np.array(steps)[:, index])))
        tables[f"share-{mode.name}"] = np.interp(np.log(rates), at, np.array(shares)[:, index])
    return {key: [float(f"{value:.5g}") for value in values] for key, values in tables.items()}


def _measured(
    model: LoadedModel, pictures: Sequence[NDArray[np.uint8]], show_progress: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean squared error and bits, each [modes, images, steps]."""
    errors = np.empty((len(MODES), len(pictures), len(_STEPS)))
    bits = np.empty_like(errors)
    bar = tqdm(total=errors.size, desc="calibrate", disable=not show_progress, mininterval=5)
    for column, image in enumerate(pictures):
        trials = Trials(image, model, CODECS["jpeg"], deadline=None, stopwatch=Stopwatch())
        for row, mode in enumerate(MODES):
            for place, step in enumerate(_STEPS):
                trial = trials.measure(mode, float(step))
                errors[row, column, place] = trial.squared_error
                bits[row, column, place] = 8 * trial.size_bytes
                bar.update()
    bar.close()
    return errors, bits


def _refined(values: NDArray[np.float64], fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate [modes, images, _STEPS] to the steps of `fine`, on a log scale."""
    flat = values.reshape(-1, values.shape[-1])
    refined = np.stack([np.interp(np.log(fine), np.log(_STEPS), row) for row in flat])
    return refined.reshape(*values.shape[:2], len(fine))


def _jpeg_psnr(pictures: Sequence[NDArray[np.uint8]], quality: int) -> float:
    """The mean PSNR (RGB) of ordinary JPEGs of a quality: libjpeg's tables, 4:2:0."""
    values = []
    for image in pictures:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=2)
        error = mean_squared_error(np.asarray(Image.open(file)), image)
        values.append(10 * np.log10(255**2 / max(error, 1e-3)))
    return float(np.mean(values))
