"""The page of very low rates shows what was measured, and a gap where a codec misses a rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from benchmarks import low_rates
from benchmarks.low_rates import LABELS, RATES_BPP, Means, Measured, means_of, measured, page, plot
from virtual_codec.codec import open_codec

STORE = Path(__file__).parents[2] / "model_store"


def means(psnr: float, missing: str = "") -> Means:
    value = Measured(psnr=psnr, psnr_y=psnr + 1, ms_ssim=0.8)
    return {(name, rate): None if name == missing else value for name in LABELS for rate in RATES_BPP}


def test_a_rate_that_one_picture_misses_has_no_mean() -> None:
    found = means_of([means(20.0), means(24.0, missing="webp")])
    assert found["webp", 0.05] is None
    assert found["avif", 0.05] == Measured(psnr=22.0, psnr_y=23.0, ms_ssim=0.8)


def test_the_page_has_a_row_for_each_codec_and_measure() -> None:
    text = page(means(21.456, missing="webp"), "2 pictures", None)
    assert text.count("| WebP | - | - |") == 3
    assert text.count("| virtual-codec | 21.46 |") == 1
    assert "| AVIF | 0.8000 |" in text


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(means(21.0, missing="webp"), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_a_picture_is_measured_within_each_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_rates, "RATES_BPP", (0.03, 0.1, 0.15))
    picture = np.ascontiguousarray(data.astronaut()[:192, 96:352])  # type: ignore[no-untyped-call]
    found = measured(picture, open_codec(STORE, threads=1))
    own = [found["virtual-codec", rate] for rate in (0.1, 0.15)]
    reached = [it.psnr for it in own if it is not None]
    assert len(reached) == 2
    assert reached == sorted(reached)
    assert found["webp", 0.03] is None
