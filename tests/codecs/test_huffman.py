"""Codes within JPEG's limits that cost no more than they must."""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtual_codec.codecs._huffman import LONGEST_CODE, best_code, bit_size


def counts_of(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    counts = np.zeros(256, np.int64)
    counts[: len(values)] = values
    return counts


def unlimited_bits(values: list[int]) -> int:
    """What Huffman's own code costs, with one symbol that never occurs for the code of all ones."""
    heap = [0, *(value for value in values if value)]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def symbol_bits(values: list[int]) -> int:
    code = best_code(counts_of(values))
    return int((code.table[0, : len(values)] * values).sum())


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_a_shallow_code_costs_what_huffman_costs(values: list[int]) -> None:
    assert symbol_bits(values) == unlimited_bits(values)


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=256))
def test_codes_are_prefixes_of_nothing_and_within_sixteen_bits(values: list[int]) -> None:
    lengths, codes = best_code(counts_of(values)).table
    used = np.flatnonzero(lengths)
    assert used.tolist() == [i for i, value in enumerate(values) if value]
    if len(used):
        assert lengths.max() <= LONGEST_CODE
        assert sum(2.0 ** -int(lengths[i]) for i in used) < 1
        words = sorted(f"{codes[i]:0{lengths[i]}b}" for i in used)
        assert all(not b.startswith(a) for a, b in pairwise(words))
        assert all("0" in word for word in words)


def test_a_code_deeper_than_sixteen_is_cut_at_little_cost() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 30:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    code = best_code(counts_of(fibonacci))
    assert code.table[0].max() == LONGEST_CODE
    assert unlimited_bits(fibonacci) < symbol_bits(fibonacci) < 1.01 * unlimited_bits(fibonacci)


def test_the_segment_lists_symbols_by_length() -> None:
    segment = best_code(counts_of([1, 8, 4])).segment
    assert segment == bytes([1, 1, 1, *[0] * 13, 1, 2, 0])


@pytest.mark.parametrize(("value", "bits"), [(0, 0), (1, 1), (-1, 1), (2, 2), (-1023, 10), (1024, 11), (-2047, 11)])
def test_sizes_are_those_of_the_standard(value: int, bits: int) -> None:
    assert bit_size(value) == bits
