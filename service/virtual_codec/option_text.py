"""Options as text: their ranges, parsing, and the inverse of parsing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass
from numbers import Real
from typing import Any, Final

from virtual_codec.errors import BadOption


@dataclass(frozen=True, kw_only=True)
class Range:
    """Range of an option: whole numbers from `low` to `high`, or all numbers above `low` up to `high`."""

    low: int
    high: int
    is_whole: bool = False

    def holds(self, value: float) -> bool:
        """True if the value is in the range. NaN never is."""
        if self.is_whole:
            return self.low <= value <= self.high and value == int(value)
        return self.low < value <= self.high

    def check(self, name: str, value: object) -> None:
        """Check the value of the option `name`. Raises `BadOption`, with the bound that a number has passed."""
        if not isinstance(value, Real):
            raise BadOption(f"{name} must be {self}, got {value!r:.40}")
        try:
            number = float(value)
        except OverflowError:  # an integer above the largest float
            number = -math.inf if value < 0 else math.inf
        if not self.holds(number):
            limit = self._passed_bound(number)
            actual = None if limit is None else number
            raise BadOption(f"{name} must be {self}, got {number:.15g}", limit=limit, actual=actual)

    def _passed_bound(self, value: float) -> int | None:
        """Bound that a value outside the range has passed; None for a fraction of a whole number's range, and NaN."""
        if value > self.high:
            return self.high
        return self.low if value < self.low or (value == self.low and not self.is_whole) else None

    def __str__(self) -> str:
        if self.is_whole:
            return f"a whole number from {self.low} to {self.high}"
        return f"a number above {self.low} and at most {self.high}"


RANGES: Final[Mapping[str, Range]] = {
    "quality": Range(low=1, high=100, is_whole=True),
    "max_bytes": Range(low=1, high=2**40, is_whole=True),
    "max_bpp": Range(low=0, high=100_000),  # the stream of a single pixel has about 2,000
    "min_psnr": Range(low=0, high=100),
    "min_ms_ssim": Range(low=0, high=1),
    "effort": Range(low=0, high=9, is_whole=True),
}
# A whole number without superfluous signs. One below the range is read too, so that the error has the range's bound.
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,300}|-[1-9][0-9]{0,299}")
# A decimal number of JSON, with a sign or without leading digits too. (`float` reads " 1_0" and digits of any script.)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")


def check_names(given: Iterable[str], options: Iterable[Field[Any]]) -> None:
    """Check that all names are those of options. Raises `BadOption` that lists the options."""
    known = [item.name for item in options]
    for name in given:
        if name not in known:
            raise BadOption(f"unknown option {name[:40]!r}; the options are {', '.join(known)}")


def option_text(value: object) -> str:
    """Text of a value, from which `parse_option` makes the same value."""
    if isinstance(value, tuple):
        return bytes(value).hex()
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_option(name: str, value: str) -> object:
    """Parse the text of an option. Raises `BadOption` with the option's name and its allowed values."""
    match name:
        case "quality" | "max_bytes" | "effort":
            if not _WHOLE_NUMBER.fullmatch(value):
                raise BadOption(f"{name} must be {RANGES[name]}, got {value[:40]!r}")
            return int(value)
        case "max_bpp" | "min_psnr" | "min_ms_ssim":
            number = float(value) if _NUMBER.fullmatch(value) else math.nan
            if not math.isfinite(number):
                raise BadOption(f"{name} must be {RANGES[name]}, got {value[:40]!r}")
            return number
        case "scale":
            if value not in ("auto", "1", "2"):
                raise BadOption(f"scale must be auto, 1 or 2, got {value[:40]!r}")
            return None if value == "auto" else int(value)
        case "background":
            if len(value) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in value):
                raise BadOption(f"background must be six hex digits rrggbb, got {value[:40]!r}")
            return tuple(bytes.fromhex(value))
        case "measure":
            if value not in ("true", "false"):
                raise BadOption(f"measure must be true or false, got {value[:40]!r}")
            return value == "true"
        case _:
            if not value:
                raise BadOption(f"{name} must not be empty")
            return value
