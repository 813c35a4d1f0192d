"""Self-check of a model on a golden picture, before the model serves any request."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream
from virtual_codec.codec.model import ModelNetworks, condition_of, condition_of_quantisation, plain_restore
from virtual_codec.codec.operating import MODES
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trials
from virtual_codec.codecs import CODECS, QUALITY_CODECS, QualitySettings
from virtual_codec.errors import BadModel
from virtual_codec.metrics import psnr

TABLE: Final = "golden"

_TEST_STEP: Final = 30.0  # step of full-size modes: coarse enough to leave every network many artefacts
_TEST_LEVEL: Final = 30  # quality level of codecs other than JPEG
_HEIGHT, _WIDTH = 96, 128

# Differences in arithmetic (bfloat16, vector widths) between machines are hundredths of a decibel on this picture.
_TOLERANCE_DB: Final = 0.5
# Tolerance below the plain filter for a manifest without the table. Mixed-up weights and broken devices are at least 10
# dB below it.
_PLAIN_TOLERANCE_DB: Final = 8.0


def golden_picture() -> NDArray[np.uint8]:
    """Golden picture [96, 128, 3] of colour fields, edges, a disc and a fine texture. It never changes."""
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    edges = 50 * ((x + 2 * y) // 24 % 2) - 25
    disc = 70 * ((x - 84) ** 2 + (y - 40) ** 2 < 26**2)
    texture = 14 * np.sin(1.1 * x) * np.sin(0.7 * y) * (x < 48)
    waves = ((23, 17, 0, 1.0, 0.8), (29, 21, 1, 0.6, -0.5), (19, 31, 2, -0.4, 0.3))
    planes = [
        128 + 60 * np.sin(x / across + phase) * np.cos(y / down) + edges * edge + disc * inside + texture
        for across, down, phase, edge, inside in waves
    ]
    picture: NDArray[np.uint8] = np.clip(np.rint(np.stack(planes, axis=2)), 0, 255).astype(np.uint8)
    return picture


def measure(model: ModelNetworks) -> dict[str, tuple[float, float]]:
    """PSNR (RGB, dB) of the golden picture, post-processed and plainly enlarged, for each mode of the model.

    A model for other codecs than JPEG has one mode for each of them.
    """
    picture = golden_picture()
    codec = CODECS["jpeg"]
    trials = Trials(picture, model, codec, stopwatch=Stopwatch())
    found = {}
    if "jpeg" not in model.manifest.codecs:
        return _measure_by_quality(model, picture)
    for mode in MODES:
        if mode.scale not in model.manifest.scales:
            continue
        coded = trials.encode(mode, trials.settings(mode, _TEST_STEP / mode.scale))
        decoded = codec.decode(coded)
        restored = model.restore(decoded, mode.scale, condition_of(bitstream.layout(coded), own=True))
        plain = plain_restore(decoded, mode.scale)
        found[mode.name] = (psnr(restored[:_HEIGHT, :_WIDTH], picture), psnr(plain[:_HEIGHT, :_WIDTH], picture))
    return found


def _measure_by_quality(model: ModelNetworks, picture: NDArray[np.uint8]) -> dict[str, tuple[float, float]]:
    """PSNR of the picture, restored and as decoded, for each codec of the model that this machine has."""
    found: dict[str, tuple[float, float]] = {}
    for codec in (QUALITY_CODECS[name] for name in model.manifest.codecs):
        if codec.is_available:
            settings = QualitySettings(level=_TEST_LEVEL, speed=codec.usual_speed, subsampling=codec.subsamplings[-1])
            coded = codec.encode(picture, settings)
            quantisation = bitstream.quantisation(coded, codec.name)
            if quantisation is not None:
                decoded = codec.decode(coded)
                restored = model.restore(decoded, 1, condition_of_quantisation(quantisation))
                found[codec.name] = (psnr(restored, picture), psnr(decoded, picture))
    return found


def expected_psnr_db(model: ModelNetworks) -> list[float]:
    """Values of the manifest table `golden`: PSNR in dB of the model for each mode, in the order of `MODES`."""
    return [round(restored, 3) for restored, _ in measure(model).values()]


def check_model(model: ModelNetworks) -> None:
    """Check that the model restores the golden picture as well as its manifest states. Raises `BadModel` if not."""
    found = measure(model)
    table = model.manifest.tables.get(TABLE)
    if table is not None and len(table) != len(found):
        raise BadModel(f"the manifest's table {TABLE!r} must have {len(found)} numbers, one for each mode")
    expected = table or [plain + _TOLERANCE_DB - _PLAIN_TOLERANCE_DB for _, plain in found.values()]
    for (mode, (restored, _)), least in zip(found.items(), expected, strict=True):
        if not restored >= least - _TOLERANCE_DB:
            raise BadModel(
                f"model {model.manifest.name}: its golden picture is restored with {restored:.1f} dB in mode {mode}, "
                f"but at least {least:.1f} dB are expected"
            )
