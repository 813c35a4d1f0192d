"""Quarantine of inputs that kill workers or are suspected of it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from virtual_codec.errors import PoisonInput

_STRIKE_LIMIT: Final = 2


@final
class Quarantine:
    """Suspect inputs by digest, the latest `capacity` of them.

    If a worker dies, the inputs that it was processing become suspects and run alone from then on. If a worker dies
    while it runs a suspect alone, the suspect gets a strike; an input with two strikes is refused. If the worker
    survives, the suspect is cleared.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._strikes: OrderedDict[bytes, int] = OrderedDict()
        self.refused_inputs = 0

    def check(self, digest: bytes) -> None:
        """Raise `PoisonInput` for an input that has killed its workers."""
        if self._strikes.get(digest, 0) >= _STRIKE_LIMIT:
            self._strikes.move_to_end(digest)
            raise PoisonInput(
                "this input crashed two workers while it ran alone, so it is refused; "
                "if it is an ordinary image, please report it"
            )

    def is_suspect(self, digest: bytes) -> bool:
        """True if this input must run alone."""
        return digest in self._strikes

    def suspect(self, digest: bytes) -> None:
        """Add an input that a worker was processing when it died."""
        self._strikes.setdefault(digest, 0)
        self._strikes.move_to_end(digest)
        if len(self._strikes) > self._capacity:
            self._strikes.popitem(last=False)

    def strike(self, digest: bytes) -> None:
        """Add a strike: a worker died while it ran this input alone."""
        self.suspect(digest)
        self._strikes[digest] += 1
        if self._strikes[digest] == _STRIKE_LIMIT:
            self.refused_inputs += 1

    def refuse(self, digest: bytes) -> None:
        """Add an input that is known to kill workers."""
        while self._strikes.get(digest, 0) < _STRIKE_LIMIT:
            self.strike(digest)

    def clear(self, digest: bytes) -> None:
        """Remove an input that ran alone without killing its worker. A refused input stays refused."""
        if self._strikes.get(digest, 0) < _STRIKE_LIMIT:
            self._strikes.pop(digest, None)
