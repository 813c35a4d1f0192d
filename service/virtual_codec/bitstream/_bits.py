"""Bits of a header, most significant first."""

from __future__ import annotations

from typing import final


class EndOfBits(Exception):
    """More bits were requested than remain."""


@final
class BitReader:
    """Reader of the unsigned numbers at the beginning of some bytes."""

    def __init__(self, data: bytes, *, most: int = 4096) -> None:
        self._data = data[:most]
        self._position = 0

    def read(self, count: int) -> int:
        """Number of `count` bits. Raises `EndOfBits`."""
        end = self._position + count
        if end > 8 * len(self._data):
            raise EndOfBits
        covered = self._data[self._position // 8 : (end + 7) // 8]
        self._position = end
        return int.from_bytes(covered, "big") >> (-end % 8) & ((1 << count) - 1)

    def flag(self) -> bool:
        """One bit. Raises `EndOfBits`."""
        return self.read(1) == 1

    def signed(self, count: int) -> int:
        """Number in two's complement. Raises `EndOfBits`."""
        value = self.read(count)
        return value - (1 << count) if value >> (count - 1) else value

    def below(self, limit: int) -> int:
        """Number from 0 to `limit` - 1 in the fewest bits (AV1's ns(n)). Raises `EndOfBits`."""
        width = limit.bit_length()
        spare = (1 << width) - limit
        value = self.read(width - 1)
        return value if value < spare else (value << 1) - spare + self.read(1)
