"""Symbol statistics, and the optimal Huffman codes that JPEG can express."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtual_codec.compiled_loops import compiled

LONGEST_CODE = 16
_INFINITE_COST = 1 << 62
_MAGNITUDE_BITS: NDArray[np.int64] = np.arange(256) & 15


@dataclass(frozen=True, kw_only=True)
class HuffmanCode:
    """Huffman code: `table` holds lengths and codes by symbol ([2, 256]; a symbol of length 0 has none).

    `coded_bits` is the size of the counted symbols with their magnitude bits.
    """

    table: NDArray[np.int64]
    coded_bits: int

    @property
    def segment(self) -> bytes:
        """DHT fields BITS and HUFFVAL of the code."""
        lengths = self.table[0]
        per_length = np.bincount(lengths, minlength=LONGEST_CODE + 1)[1:]
        order = np.argsort(lengths, kind="stable")
        symbols = order[lengths[order] > 0]
        return bytes(per_length.tolist()) + bytes(symbols.tolist())

    @property
    def total_bits(self) -> int:
        """Bits of the counted symbols and of the code itself in a DHT segment."""
        return self.coded_bits + 8 * (1 + LONGEST_CODE + int(np.count_nonzero(self.table[0])))


def best_code(counts: NDArray[np.int64]) -> HuffmanCode:
    """Optimal code for `counts` ([256]) of at most 16 bits per symbol, its all-ones code unused."""
    table = np.zeros((2, 256), np.int64)
    symbols = np.flatnonzero(counts)
    symbols = symbols[np.argsort(counts[symbols], kind="stable")]
    coded_bits = _build(symbols, counts, table)
    return HuffmanCode(table=table, coded_bits=int(coded_bits))


def symbol_costs(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cost in bits of each symbol, magnitude bits included ([256]), in the best code for its counts ([256]).

    A symbol without a code costs more than the longest code. The byte that lists a symbol in its DHT segment is shared
    among its uses and one more.
    """
    lengths = best_code(counts).table[0]
    bits: NDArray[np.float64] = np.where(lengths > 0, lengths, LONGEST_CODE + 2) + _MAGNITUDE_BITS + 8 / (counts + 1)
    return bits


@compiled
def count_dc(levels: NDArray[np.int16], counts: NDArray[np.int64]) -> None:
    """Add the size categories of the DC differences of `levels` ([blocks, 64]) to `counts` ([256])."""
    previous = 0
    for block in range(len(levels)):
        level = int(levels[block, 0])
        counts[bit_size(level - previous)] += 1
        previous = level


@compiled
def count_ac(levels: NDArray[np.int16], last: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Add the run/size symbols of `levels` ([blocks, 64], nonzero up to `last`) to `counts` ([256])."""
    for block in range(len(levels)):
        end = last[block]
        run = 0
        for k in range(1, end + 1):
            level = int(levels[block, k])
            if level == 0:
                run += 1
                continue
            counts[0xF0] += run >> 4
            counts[((run & 15) << 4) | bit_size(level)] += 1
            run = 0
        if end < 63:
            counts[0] += 1


@compiled
def bit_size(value: int) -> int:
    """Bit length of |value|."""
    rest = abs(value)
    size = 0
    while rest:
        rest >>= 1
        size += 1
    return size


@compiled
def _build(symbols: NDArray[np.int64], counts: NDArray[np.int64], table: NDArray[np.int64]) -> int:
    """Package-merge (Larmore and Hirschberg, 1990) of symbols by rising count, then canonical codes."""
    leaves = len(symbols) + 1
    if leaves == 1:
        return 0
    # A leaf that never occurs takes the longest code, so no symbol gets the all-ones code.
    weights = np.zeros(leaves, np.int64)
    for i in range(1, leaves):
        weights[i] = counts[symbols[i - 1]]
    items = np.zeros((LONGEST_CODE, 2 * leaves), np.int64)
    is_leaf = np.zeros((LONGEST_CODE, 2 * leaves), np.bool_)
    size = leaves
    for i in range(leaves):
        items[0, i] = weights[i]
        is_leaf[0, i] = True
    for level in range(1, LONGEST_CODE):
        packages = size // 2
        leaf, package = 0, 0
        size = leaves + packages
        for i in range(size):
            merged = _INFINITE_COST
            if package < packages:
                merged = items[level - 1, 2 * package] + items[level - 1, 2 * package + 1]
            if leaf < leaves and weights[leaf] <= merged:
                items[level, i] = weights[leaf]
                is_leaf[level, i] = True
                leaf += 1
            else:
                items[level, i] = merged
                package += 1
    depth = np.zeros(leaves, np.int64)
    taken = 2 * (leaves - 1)
    for level in range(LONGEST_CODE - 1, -1, -1):
        chosen = 0
        for i in range(taken):
            if is_leaf[level, i]:
                depth[chosen] += 1
                chosen += 1
        taken = 2 * (taken - chosen)
    bits = 0
    for i in range(1, leaves):
        table[0, symbols[i - 1]] = depth[i]
        bits += weights[i] * (depth[i] + (symbols[i - 1] & 15))
    code = 0
    for length in range(1, LONGEST_CODE + 1):
        for symbol in range(256):
            if table[0, symbol] == length:
                table[1, symbol] = code
                code += 1
        code <<= 1
    return bits
