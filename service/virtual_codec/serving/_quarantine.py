"""Inputs that were in a worker when it died, and those that are known to kill workers."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from virtual_codec.errors import PoisonInput

_STRIKES: Final = 2


@final
class Quarantine:
    """Remembers suspects by digest, the latest `capacity` of them.

    An input that was in a dying worker is a suspect and runs alone from then on. A worker that dies of a lone
    suspect is a strike; at two the input is refused. An input that gets through alone is a suspect no more.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._strikes: OrderedDict[bytes, int] = OrderedDict()
        self.refused_inputs = 0

    def check(self, digest: bytes) -> None:
        """Raise `PoisonInput` for an input that has killed its workers."""
        if self._strikes.get(digest, 0) >= _STRIKES:
            self._strikes.move_to_end(digest)
            raise PoisonInput(
                "this input ended the worker that had it, alone, twice, and is not taken again; "
                "if it is an ordinary image, please report it"
            )

    def is_suspect(self, digest: bytes) -> bool:
        """Whether this input must run alone."""
        return digest in self._strikes

    def suspect(self, digest: bytes) -> None:
        """The input was in a worker that died, among others perhaps."""
        self._strikes.setdefault(digest, 0)
        self._strikes.move_to_end(digest)
        if len(self._strikes) > self._capacity:
            self._strikes.popitem(last=False)

    def strike(self, digest: bytes) -> None:
        """The input was alone in a worker that died."""
        self.suspect(digest)
        self._strikes[digest] += 1
        if self._strikes[digest] == _STRIKES:
            self.refused_inputs += 1

    def clear(self, digest: bytes) -> None:
        """The input got through alone. One that is refused already stays so."""
        if self._strikes.get(digest, 0) < _STRIKES:
            self._strikes.pop(digest, None)
