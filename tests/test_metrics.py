"""PSNR, SSIM, MS-SSIM and BD-rate mean what the literature means by them."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.interpolate import PchipInterpolator
from skimage import data
from skimage.metrics import structural_similarity

from virtual_codec import metrics

CAT: NDArray[np.uint8] = data.chelsea()  # type: ignore[no-untyped-call]  # 300 x 451


def jpeg(pixels: NDArray[np.uint8], quality: int) -> tuple[NDArray[np.uint8], float]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, optimize=True)
    with Image.open(file) as image:
        return np.asarray(image), 8 * file.tell() / (pixels.shape[0] * pixels.shape[1])


def curve(rates: list[float], values: list[float]) -> metrics.Curve:
    return np.array([rates, values]).T


def test_psnr_pools_all_samples() -> None:
    first = np.zeros((2, 2, 3), np.uint8)
    second = first.copy()
    second[0, 0, 0] = 12
    assert metrics.psnr(first, second) == pytest.approx(10 * math.log10(255**2 * 12 / 144))


def test_equal_pictures_have_infinite_psnr_and_similarity_one() -> None:
    assert metrics.psnr(CAT, CAT) == math.inf
    assert metrics.psnr_y(CAT, CAT) == math.inf
    assert metrics.ssim(CAT, CAT) == pytest.approx(1, abs=1e-6)
    assert metrics.ms_ssim(CAT, CAT) == pytest.approx(1, abs=1e-6)
    assert metrics.similarity_db(1.0) == math.inf


def test_luma_is_full_range_and_not_rounded() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    bluish = np.broadcast_to(np.array([0, 0, 1], np.uint8), (4, 4, 3))
    assert metrics.psnr_y(black, bluish) == pytest.approx(20 * math.log10(255 / 0.114))


def test_psnr_y_of_a_grey_picture_is_its_psnr() -> None:
    grey, coded = CAT[..., 1], jpeg(CAT[..., 1], 20)[0]
    assert metrics.psnr_y(grey, coded) == pytest.approx(metrics.psnr(grey, coded))


def test_ssim_agrees_with_scikit_image() -> None:
    grey, coded = CAT[..., 1], jpeg(CAT[..., 1], 10)[0]
    # Its window is cut at 3.5 sigma, 11 taps; its mean leaves the border out as ours does.
    expected = structural_similarity(  # type: ignore[no-untyped-call]
        grey, coded, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert metrics.ssim(grey, coded) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(300, 451, 0.952150), (161, 163, 0.962367), (256, 320, 0.965075)],
)
def test_ms_ssim_agrees_with_the_reference(rows: int, columns: int, expected: float) -> None:
    """The figures are those of pytorch-msssim, which pads odd sides with zeros: hence the tolerance."""
    original = np.ascontiguousarray(CAT[:rows, :columns])
    noisy = (original.astype(np.int32) // 24 * 24 + np.arange(columns)[None, :, None] % 9).clip(0, 255)
    assert metrics.ms_ssim(original, noisy.astype(np.uint8)) == pytest.approx(expected, abs=2e-4)


def test_ms_ssim_of_colour_is_the_mean_of_the_channels() -> None:
    coded, _ = jpeg(CAT, 10)
    channels = [metrics.ms_ssim(CAT[..., c], coded[..., c]) for c in range(3)]
    assert metrics.ms_ssim(CAT, coded) == pytest.approx(np.mean(channels), abs=1e-6)


def test_no_similarity_is_above_one() -> None:
    flat = np.full((200, 200, 3), 77, np.uint8)
    for level in (76, 77, 78):
        assert metrics.ms_ssim(np.full_like(flat, level), flat) <= 1
        assert metrics.ssim(np.full_like(flat, level), flat) <= 1


def test_ms_ssim_of_an_opposite_picture_is_zero_and_not_complex() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (170, 170), dtype=np.uint8)
    assert metrics.ms_ssim(noise, 255 - noise) == 0


@pytest.mark.slow
def test_ms_ssim_is_fast_enough_to_be_measured_in_a_search() -> None:
    large = np.tile(CAT, (2, 2, 1))[:512, :768]
    shifted = np.roll(large, 1, axis=0)
    seconds = []
    for _ in range(4):
        start = time.thread_time()  # not the wall clock, which a busy machine stretches
        metrics.ms_ssim(large, shifted)
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.15


@pytest.mark.parametrize("side", [10, 160])
def test_small_pictures_are_refused(side: int) -> None:
    small = np.zeros((200, side, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 161 pixels"):
        metrics.ms_ssim(small, small)
    if side < 11:
        with pytest.raises(ValueError, match="at least 11 pixels"):
            metrics.ssim(small, small)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), "one shape"),
        (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 4), np.uint8), r"\[H, W\]"),
        (np.zeros((8, 8)), np.zeros((8, 8)), "8 bits"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(
    first: NDArray[np.uint8], second: NDArray[np.uint8], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.psnr(first, second)


def test_half_the_bytes_at_every_quality_are_a_bd_rate_of_minus_fifty() -> None:
    anchor = curve([0.1, 0.2, 0.4, 0.8], [25, 28, 31, 33])
    test = curve([0.05, 0.1, 0.2, 0.4], [25, 28, 31, 33])
    assert metrics.bd_rate(anchor, test, 0.1, 0.8) == pytest.approx(-50, abs=0.01)
    assert metrics.bd_rate(test, anchor, 0.05, 0.4) == pytest.approx(100, abs=0.05)


def test_a_bd_rate_covers_the_anchors_range_only() -> None:
    values = [25.0, 27, 29, 31, 33, 35, 37]
    anchor = curve([0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8], values)
    test = curve([0.05, 0.07, 0.1, 0.14, 0.4, 0.56, 0.8], values)  # saves half, but only up to 31 dB
    assert metrics.bd_rate(anchor, test, 0.1, 0.2) == pytest.approx(-50, abs=0.5)
    assert metrics.bd_rate(anchor, test, 0.56, 0.8) == pytest.approx(0, abs=0.5)


def test_rates_below_the_lowest_count_for_nothing() -> None:
    anchor = curve([0.1, 0.2, 0.4], [25, 28, 31])
    test = curve([0.01, 0.05, 0.1, 0.2], [20, 25, 28, 31])
    shortened = curve([0.05, 0.1, 0.2], [25, 28, 31])
    full, short = (metrics.bd_rate(anchor, either, 0.1, 0.4) for either in (test, shortened))
    assert full == pytest.approx(short, abs=0.5)


def test_points_worse_than_a_cheaper_one_are_left_out() -> None:
    anchor = curve([0.1, 0.2, 0.4, 0.8], [25, 28, 31, 33])
    with_a_slip = curve([0.3, 0.1, 0.2, 0.4, 0.8], [27.5, 25, 28, 31, 33])
    assert metrics.bd_rate(anchor, with_a_slip, 0.1, 0.8) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "test",
    [
        curve([0.1, 0.2], [40, 41]),
        curve([0.1, 0.2], [10, 11]),
        curve([0.2], [28]),
        curve([0.1, 0.2], [math.inf, math.inf]),
    ],
)
def test_curves_without_a_common_quality_have_no_bd_rate(test: metrics.Curve) -> None:
    with pytest.raises(metrics.NoOverlap):
        metrics.bd_rate(curve([0.1, 0.2, 0.4], [25, 28, 31]), test, 0.1, 0.4)


@pytest.mark.parametrize("count", [2, 3, 4, 12])
@pytest.mark.parametrize("flat", [False, True])
def test_interpolation_agrees_with_scipy(count: int, flat: bool) -> None:
    random = np.random.default_rng(count)
    for _ in range(20):
        x = np.cumsum(random.random(count) + 0.01)
        y = random.normal(size=count).round() if flat else random.normal(size=count)
        at = np.linspace(x[0] - 0.1, x[-1] + 0.1, 40)
        np.testing.assert_allclose(metrics.pchip(x, y, at), PchipInterpolator(x, y)(at), atol=1e-9)


def test_interpolation_needs_two_points() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        metrics.pchip(np.array([1.0]), np.array([1.0]), np.array([1.0]))


def test_a_codec_against_itself_saves_nothing() -> None:
    points = [(quality, *jpeg(CAT, quality)) for quality in (2, 5, 10, 20, 40, 70)]
    measured = np.array([(rate, metrics.psnr(CAT, coded)) for _, coded, rate in points])
    assert metrics.bd_rate(measured, measured, 0.1, 1.0) == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_the_jpegs_of_live1_have_the_published_psnr(shared: Path) -> None:
    paths = sorted((shared / "data" / "test" / "live1").iterdir())
    originals = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    for quality, expected in ((10, 25.69), (40, 30.28)):
        found = [metrics.psnr(pixels, jpeg(pixels, quality)[0]) for pixels in originals]
        assert np.mean(found) == pytest.approx(expected, abs=0.01)


def shifted(picture: NDArray[np.uint8], shift: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.clip(picture.astype(int) + shift, 0, 255).astype(np.uint8)


def test_colour_drift_is_the_blurred_chroma_error_of_scipy() -> None:
    filters = pytest.importorskip("scipy.ndimage")
    random = np.random.default_rng(0)
    first, second = (random.integers(0, 256, (70, 45, 3), dtype=np.uint8) for _ in range(2))
    red, green, blue = np.moveaxis(second.astype(float) - first, 2, 0)
    chroma = (-0.168736 * red - 0.331264 * green + 0.5 * blue, 0.5 * red - 0.418688 * green - 0.081312 * blue)
    expected = np.sqrt(np.mean([filters.gaussian_filter(plane, 8) ** 2 for plane in chroma]))
    assert metrics.colour_drift(first, second) == pytest.approx(expected, rel=1e-4)


def test_colour_drift_counts_hue_over_an_area_and_neither_luma_nor_fine_noise() -> None:
    grey = np.full((64, 80, 3), 120, np.uint8)
    assert metrics.colour_drift(grey, grey) == 0
    assert metrics.colour_drift(grey, shifted(grey, (5, 5, 5))) == pytest.approx(0, abs=1e-4)
    pink = metrics.colour_drift(grey, shifted(grey, (8, 0, 0)))
    assert pink == pytest.approx(8 * np.sqrt((0.168736**2 + 0.5**2) / 2), rel=1e-4)
    board = (np.indices((64, 80)).sum(axis=0) % 2 * 16 - 8)[..., None] * np.array([1, 0, 0])
    assert metrics.colour_drift(grey, (grey + board).astype(np.uint8)) < 0.01 * pink


def test_colour_drift_of_grey_pictures_is_refused() -> None:
    grey = np.zeros((16, 16), np.uint8)
    with pytest.raises(ValueError, match=r"needs pictures of \[H, W, 3\]"):
        metrics.colour_drift(grey, grey)
