"""Quantisation cells, and tables that another tool has transposed."""

from __future__ import annotations

import numpy as np
import pytest

from virtual_codec.codecs import JpegSettings, excess_over_cells, is_transposed, quantisation_tables


def test_a_change_within_its_cells_has_no_excess() -> None:
    change = np.random.default_rng(1).normal(0, 0.1, (24, 16)).astype(np.float32)
    assert not excess_over_cells(change, np.full((8, 8), 10, np.float32)).any()


def test_the_excess_of_a_uniform_change_is_uniform() -> None:
    change = np.full((13, 21), 5, np.float32)  # a DC of 40
    bounds = np.full((8, 8), 8, np.float32)
    assert np.allclose(excess_over_cells(change, bounds), 4, atol=1e-4)


def test_a_change_without_its_excess_is_the_nearest_one_within_the_cells() -> None:
    random = np.random.default_rng(2)
    change = random.normal(0, 20, (16, 16)).astype(np.float32)
    bounds = random.uniform(1, 30, (8, 8)).astype(np.float32)
    limited = change - excess_over_cells(change, bounds)
    assert np.abs(excess_over_cells(limited, bounds)).max() < 1e-3
    for _ in range(20):
        other = random.normal(0, 20, (16, 16)).astype(np.float32)
        other -= excess_over_cells(other, bounds)
        assert np.square(other - limited).sum() <= np.square(other - change).sum()


@pytest.mark.parametrize("step", [4.0, 12.0, 30.0, 90.0])
@pytest.mark.parametrize("exponent", [0.05, 0.15, 0.6])
def test_a_transposed_table_is_recognised(step: float, exponent: float) -> None:
    table = quantisation_tables(JpegSettings(step=step, luma_exponent=exponent))[0].astype(np.uint16)
    assert not is_transposed(table)
    assert is_transposed(table.T) or np.array_equal(table, table.T)
