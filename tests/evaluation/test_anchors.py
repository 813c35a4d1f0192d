"""Every standard codec that is compared against covers the rates and keeps colour and grey apart."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from virtual_codec.evaluation._anchors import ANCHORS, Anchor
from virtual_codec.metrics import psnr

CAT: NDArray[np.uint8] = data.chelsea()[40:240, 80:340]  # type: ignore[no-untyped-call]


@pytest.fixture(params=list(ANCHORS.values()), ids=list(ANCHORS))
def anchor(request: pytest.FixtureRequest) -> Anchor:
    found: Anchor = request.param
    if not found.is_available():
        pytest.skip(f"this Pillow has no {found.label}")
    return found


@pytest.mark.parametrize("pixels", [CAT, np.ascontiguousarray(CAT[..., 1])], ids=["colour", "grey"])
def test_more_bits_give_a_better_picture(anchor: Anchor, pixels: NDArray[np.uint8]) -> None:
    settings = anchor.settings[1], anchor.settings[-1]
    rates, qualities = [], []
    for setting in settings:
        stream = anchor.encode(pixels, setting)
        with Image.open(io.BytesIO(stream)) as image:
            decoded = np.asarray(image.convert("RGB" if pixels.ndim == 3 else "L"))
        rates.append(8 * len(stream) / (pixels.shape[0] * pixels.shape[1]))
        qualities.append(psnr(pixels, decoded))
    assert rates[0] < 0.5 < rates[1]
    assert qualities[1] > qualities[0] + 5


def test_settings_rise_and_the_cache_key_is_stable(anchor: Anchor) -> None:
    assert list(anchor.settings) == sorted(set(anchor.settings))
    assert anchor.key() == anchor.key()
    assert anchor.key().startswith(f"{anchor.name}-")


def test_the_jpegs_are_optimised_baseline_with_halved_chroma() -> None:
    with Image.open(io.BytesIO(ANCHORS["jpeg"].encode(CAT, 50))) as image:
        assert "progressive" not in image.info
        assert [component[1:3] for component in image.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]
