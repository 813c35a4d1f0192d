"""Quantisation cells, and tables that another tool has transposed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from virtual_codec.codecs import JpegSettings, is_transposed, keep_flat_areas, quantisation_tables, within_cells

Pixels = NDArray[np.uint8]


GREY = np.eye(1, dtype=np.float32)


def limited(decoded: Pixels, restored: Pixels, bound: float) -> Pixels:
    bounds = np.full((1, 8, 8), bound, np.float32)
    return within_cells(decoded[..., None], restored[..., None], bounds, GREY)[..., 0]


def test_a_change_within_its_cells_stays() -> None:
    decoded = np.random.default_rng(1).integers(10, 240, (21, 13), np.uint8)
    assert np.array_equal(limited(decoded, decoded + np.uint8(1), 10), decoded + 1)


def test_a_uniform_change_is_limited_to_its_bound() -> None:
    decoded = np.full((13, 21), 100, np.uint8)
    assert (limited(decoded, decoded + np.uint8(5), 8) == 101).all()  # a DC of 8 is one level


def test_an_infinite_bound_leaves_a_component_alone() -> None:
    decoded = np.full((8, 8), 100, np.uint8)
    assert (limited(decoded, decoded + np.uint8(50), np.inf) == 150).all()


def test_a_limited_picture_is_no_further_from_any_picture_within_the_cells() -> None:
    random = np.random.default_rng(2)
    decoded = np.full((16, 16), 128, np.uint8)
    wild = random.integers(0, 256, (16, 16), np.uint8)
    result = limited(decoded, wild, 40).astype(int)
    for _ in range(20):
        other = limited(decoded, random.integers(0, 256, (16, 16), np.uint8), 40).astype(int)
        assert np.square(other - result).sum() <= np.square(other - wild).sum()


def test_flat_neighbourhoods_are_kept_and_others_are_not() -> None:
    decoded = np.full((40, 64, 3), 90, np.uint8)
    decoded[0, 0] = 91
    shown = np.full_like(decoded, 200)
    keep_flat_areas(decoded, shown, 8, 16)
    assert (shown[:16, :32] == 200).all()
    assert (shown[16:] == 90).all()
    assert (shown[:, 32:] == 90).all()


@pytest.mark.parametrize("step", [4.0, 12.0, 30.0, 90.0])
@pytest.mark.parametrize("exponent", [0.05, 0.15, 0.6])
def test_a_transposed_table_is_recognised(step: float, exponent: float) -> None:
    table = quantisation_tables(JpegSettings(step=step, luma_exponent=exponent))[0].astype(np.uint16)
    assert not is_transposed(table)
    assert is_transposed(table.T) or np.array_equal(table, table.T)
