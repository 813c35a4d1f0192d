"""What a caller asks for and what comes back, as plain values that cross process borders."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Final, Literal

from virtual_codec.errors import BadOption, DeadlineExceeded

DEFAULT_QUALITY = 50
DEFAULT_EFFORT = 4

OutputFormat = Literal["png", "webp", "bmp"]


@dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that an option takes: whole ones from `low` to `high`, or all above `low` up to `high`."""

    low: int
    high: int
    is_whole: bool = False

    def holds(self, value: float) -> bool:
        """Whether the option takes it. It never takes NaN."""
        return (self.low <= value if self.is_whole else self.low < value) and value <= self.high

    def __str__(self) -> str:
        if self.is_whole:
            return f"a whole number from {self.low} to {self.high}"
        return f"a number above {self.low} and at most {self.high}"


RANGES: Final[Mapping[str, Range]] = {
    "quality": Range(low=1, high=100, is_whole=True),
    "max_bytes": Range(low=1, high=2**40, is_whole=True),
    "max_bpp": Range(low=0, high=100_000),  # the smallest stream of a single pixel has some 2,000
    "min_psnr": Range(low=0, high=100),
    "min_ms_ssim": Range(low=0, high=1),
    "effort": Range(low=0, high=9, is_whole=True),
}

_TARGETS = ("quality", "max_bytes", "max_bpp", "min_psnr", "min_ms_ssim")


@dataclass(frozen=True, kw_only=True)
class CompressOptions:
    """The options of `/compress` and `vcodec compress`. Raises `BadOption` for what cannot be meant.

    At most one of `quality` (JPEG's own scale), `max_bytes`, `max_bpp` (bits per pixel of the image), `min_psnr` (RGB,
    dB) and `min_ms_ssim` (RGB mean) may be given; without any it is quality 50. `RANGES` says what numbers they and
    `effort` take. `scale` is None for automatic; `model` is a name or id, None for the store's default;
    `background` is the RGB colour that transparent pixels are flattened onto.
    """

    quality: int | None = None
    max_bytes: int | None = None
    max_bpp: float | None = None
    min_psnr: float | None = None
    min_ms_ssim: float | None = None
    effort: int = DEFAULT_EFFORT
    scale: int | None = None
    codec: str = "jpeg"
    model: str | None = None
    background: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self) -> None:
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise BadOption(f"give at most one of {', '.join(_TARGETS)}; got {' and '.join(given)}")
        for name, allowed in RANGES.items():
            value = getattr(self, name)
            if value is not None and not allowed.holds(value):
                raise BadOption(f"{name} must be {allowed}, got {value:.15g}")
        if self.scale not in (None, 1, 2):
            raise BadOption(f"scale must be auto, 1 or 2, got {self.scale}")

    @property
    def target(self) -> str | None:
        """The name of the target that stands in place of a quality, or None."""
        return next((name for name in _TARGETS[1:] if getattr(self, name) is not None), None)

    @classmethod
    def parse(cls, text: Mapping[str, str]) -> CompressOptions:
        """Read options from their text form. Raises `BadOption` that names the option and what is allowed."""
        known = [item.name for item in fields(cls)]
        values: dict[str, object] = {}
        for name, value in text.items():
            if name not in known:
                raise BadOption(f"unknown option {name!r}; the options are {', '.join(known)}")
            values[name] = _parse_option(name, value)
        return cls(**values)  # type: ignore[arg-type]  # every value was parsed for its field


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """The options of `/decompress` and `vcodec decompress`.

    `model`, a name or id, restores JPEGs that are not ours, None for the store's default; our streams name their own.
    """

    output: OutputFormat = "png"
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompressResult:
    """A stream and what is known of it.

    `quality` is the quality that was used (where a target was given: that was found); `psnr_db` and `ms_ssim` are
    measured on the really restored image where a target asked for it. `stages_s` holds seconds by stage:
    decode, queue, device, encode; `worker` is the name of who did it, where a pool knows.
    """

    stream: bytes = field(repr=False)
    media_type: str
    model: str
    scale: int
    width: int
    height: int
    quality: int
    psnr_db: float | None = None
    ms_ssim: float | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""

    @property
    def rate_bpp(self) -> float:
        """Stream bits per pixel of the image."""
        return 8 * len(self.stream) / (self.width * self.height)


@dataclass(frozen=True, kw_only=True)
class RestoreResult:
    """A restored image, encoded, and what is known of it. `stages_s` and `worker` as in `CompressResult`."""

    image: bytes = field(repr=False)
    media_type: str
    model: str
    scale: int
    width: int
    height: int
    rate_bpp: float
    stages_s: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request on its way to a worker. `deadline` is absolute, on `time.monotonic`'s clock.

    `request_id` and `trace_id` mark the log lines about it.
    """

    data: bytes = field(repr=False)
    options: CompressOptions | RestoreOptions
    request_id: str = ""
    trace_id: str = ""
    deadline: float | None = None

    @property
    def marks(self) -> dict[str, str]:
        """What a log line about it bears."""
        marks = {"request_id": self.request_id, "trace_id": self.trace_id}
        return {name: value for name, value in marks.items() if value}


class Abandoned(BaseException):
    """Nobody waits for the job any more. No error of anything: only what began the job catches it."""


@contextmanager
def attended(deadline: float | None, is_abandoned: Callable[[], bool]) -> Iterator[None]:
    """Have every `check_deadline` of this thread, however deep in the job, keep to a deadline and a caller's presence.

    Raises `Abandoned` out of the block when `is_abandoned` says so.
    """
    token = _ATTENTION.set((deadline, is_abandoned))
    try:
        yield
    finally:
        _ATTENTION.reset(token)


def check_deadline(deadline: float | None = None) -> None:
    """Raise `DeadlineExceeded` when the absolute `deadline` (on `time.monotonic`'s clock) has passed.

    That of the job that this thread does is kept to as well; `Abandoned` when nobody waits for it (see `attended`).
    """
    of_job, is_abandoned = _ATTENTION.get()
    if is_abandoned():
        raise Abandoned
    now = time.monotonic()
    if any(limit is not None and now > limit for limit in (deadline, of_job)):
        raise DeadlineExceeded("the deadline passed before the work was done; send a smaller image or allow more time")


_ATTENTION: ContextVar[tuple[float | None, Callable[[], bool]]] = ContextVar("attention", default=(None, lambda: False))


def _parse_option(name: str, value: str) -> object:
    match name:
        case "quality" | "max_bytes" | "effort":
            if not (value.isascii() and value.isdigit() and len(value) <= 15):
                raise BadOption(f"{name} must be {RANGES[name]}, got {value[:40]!r}")
            return int(value)
        case "max_bpp" | "min_psnr" | "min_ms_ssim":
            try:
                number = float(value)
            except ValueError:
                number = math.nan
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
        case _:
            if not value:
                raise BadOption(f"{name} must not be empty")
            return value
