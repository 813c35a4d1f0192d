"""Options, jobs and results as plain values that can be pickled."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from virtual_codec.errors import BadOption, DeadlineExceeded
from virtual_codec.option_text import RANGES, check_names, option_text, parse_option

DEFAULT_QUALITY = 50
DEFAULT_EFFORT = 4

OutputFormat = Literal["png", "webp", "bmp"]
OrdinaryFormat = Literal["jpeg", "webp", "avif"]
MetadataChoice = Literal["none", "exif", "xmp", "all"]
LeftOut = Literal["exif", "xmp", "location", "maker-notes", "transparency"]


_TARGETS = ("quality", "max_bytes", "max_bpp", "min_psnr", "min_ms_ssim")


@dataclass(frozen=True, kw_only=True)
class CompressOptions:
    """Options of `/compress` and `vcodec compress`. Raises `BadOption` for values out of range or in conflict.

    At most one of `quality` (JPEG's own scale), `max_bytes`, `max_bpp` (bits per pixel of the image), `min_psnr` (RGB,
    dB) and `min_ms_ssim` (RGB mean) may be given; without any, the quality is 50. `option_text.RANGES` has their ranges
    and that of `effort`. `scale` is None for automatic; `model` is a name or id, None for the store's default.
    `metadata` chooses which metadata of the image the stream keeps: location and maker notes only with "all". With
    `measure` the result has PSNR and, for sides of at least 161 pixels, MS-SSIM of the restored image. `background` is
    the RGB colour behind transparent pixels. `codec` is jpeg, webp, avif or jpeg2000; all but jpeg work only at scale
    1.
    """

    quality: int | None = None
    max_bytes: int | None = None
    max_bpp: float | None = None
    min_psnr: float | None = None
    min_ms_ssim: float | None = None
    effort: int = DEFAULT_EFFORT
    scale: int | None = None
    codec: str = "jpeg"
    metadata: MetadataChoice = "none"
    model: str | None = None
    background: tuple[int, int, int] = (255, 255, 255)
    measure: bool = False

    def __post_init__(self) -> None:
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise BadOption(f"give at most one of {', '.join(_TARGETS)}; got {' and '.join(given)}")
        for name, allowed in RANGES.items():
            value = getattr(self, name)
            if value is not None:
                allowed.check(name, value)
        if self.scale not in (None, 1, 2):
            raise BadOption(f"scale must be None (automatic), 1 or 2, got {self.scale!r}")
        for name in ("codec", "model"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "model" and value is None):
                raise BadOption(f"{name} must be a name, got {value!r:.40}")
        if self.codec != "jpeg" and self.scale == 2:
            raise BadOption(f"codec {self.codec:.40} works at scale 1 only, got 2")
        if self.metadata not in get_args(MetadataChoice):
            choices = ", ".join(get_args(MetadataChoice))
            raise BadOption(f"metadata must be one of {choices}, got {self.metadata!r:.40}")

    @property
    def target(self) -> str | None:
        """Name of the target given instead of a quality, or None."""
        return next((name for name in _TARGETS[1:] if getattr(self, name) is not None), None)

    @classmethod
    def of(cls, given: Mapping[str, object]) -> CompressOptions:
        """Make options from Python values. A scale may be "auto", a background "rrggbb". Raises `BadOption`."""
        check_names(given, fields(cls))
        values = {name: value for name, value in given.items() if not (name == "scale" and value == "auto")}
        if isinstance(background := values.get("background"), str):
            values["background"] = parse_option("background", background)
        try:
            return cls(**values)  # type: ignore[arg-type]  # checked as it is made
        except TypeError as error:  # from comparing a value of another type
            raise BadOption(f"an option has a value of a wrong type: {given}") from error

    @classmethod
    def parse(cls, text: Mapping[str, str]) -> CompressOptions:
        """Parse options from text. Raises `BadOption` that names the option and its range."""
        check_names(text, fields(cls))
        values = {name: parse_option(name, value) for name, value in text.items()}
        return cls(**values)  # type: ignore[arg-type]  # every value was parsed for its field

    def to_text(self, given: Collection[str] = ()) -> dict[str, str]:
        """Options as text for `parse`: those that differ from their defaults, and those named in `given`."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        defaults = {item.name: item.default for item in fields(self)}
        return {
            name: option_text(value)
            for name, value in values.items()
            if value is not None and (name in given or value != defaults[name])
        }


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """Options of `/decompress` and `vcodec decompress`.

    `model`, a name or id, restores files of other encoders (None: the store's model for their codec). Streams of this
    project name their model themselves.
    """

    output: OutputFormat = "png"
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class OrdinaryOptions:
    """Options of an ordinary JPEG, WebP or AVIF for comparison, at a quality or within a size.

    Exactly one of `quality` (the encoder's own, 1 to 100) and `max_bytes` is given. Raises `BadOption`.
    """

    format: OrdinaryFormat = "jpeg"
    quality: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.format not in get_args(OrdinaryFormat):
            choices = ", ".join(get_args(OrdinaryFormat))
            raise BadOption(f"format must be one of {choices}, got {self.format[:40]!r}")
        if (self.quality is None) == (self.max_bytes is None):
            raise BadOption("give either quality or max_bytes")
        for name in ("quality", "max_bytes"):
            value = getattr(self, name)
            if value is not None:
                RANGES[name].check(name, value)

    @classmethod
    def parse(cls, text: Mapping[str, str]) -> OrdinaryOptions:
        """Parse options from text. Raises `BadOption` that names the option and its range."""
        check_names(text, fields(cls))
        values = {name: parse_option(name, value) for name, value in text.items()}
        return cls(**values)  # type: ignore[arg-type]  # every value was parsed for its field


@dataclass(frozen=True, kw_only=True)
class CompressResult:
    """Result of compression: the stream and its measures. For an ordinary file, `model` is "".

    `quality` is the quality that was used, or for a target the one that was found. `psnr_db` and `ms_ssim` are measured
    on the restored image; `ms_ssim` only if `min_ms_ssim` or `measure` asks for it. `left_out` lists the kinds of
    metadata that the stream does not keep, and `transparency` if pixels were flattened. `stages_s` has seconds by
    stage: decode, queue, device, encode. `worker` is the worker's name, if known.
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
    left_out: tuple[LeftOut, ...] = ()
    stages_s: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""

    @property
    def rate_bpp(self) -> float:
        """Rate of the stream, in bits per pixel of the image."""
        return 8 * len(self.stream) / (self.width * self.height)


@dataclass(frozen=True, kw_only=True)
class RestoreResult:
    """Result of restoring: an encoded image and its measures. `stages_s` and `worker` are as in `CompressResult`."""

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
    """Job for a worker. `deadline` is absolute, on `time.monotonic`'s clock.

    `request_id` and `trace_id` are logged with it.
    """

    data: bytes = field(repr=False)
    options: CompressOptions | RestoreOptions | OrdinaryOptions
    request_id: str = ""
    trace_id: str = ""
    deadline: float | None = None

    @property
    def log_fields(self) -> dict[str, str]:
        """Log fields of the job."""
        marks = {"request_id": self.request_id, "trace_id": self.trace_id}
        return {name: value for name, value in marks.items() if value}


class Abandoned(BaseException):
    """Cancellation of a job whose caller has left. Not an error; only the code that started the job catches it."""


@contextmanager
def deadline_scope(deadline: float | None, is_abandoned: Callable[[], bool]) -> Iterator[None]:
    """Context in which every `check_deadline` of this thread also checks a deadline and a cancellation.

    `check_deadline` raises `Abandoned` once `is_abandoned()` is true.
    """
    token = _SCOPE.set((deadline, is_abandoned))
    try:
        yield
    finally:
        _SCOPE.reset(token)


def check_deadline(deadline: float | None = None) -> None:
    """Raise `DeadlineExceeded` if the absolute `deadline` (on `time.monotonic`'s clock) has passed.

    It also checks the job of this thread, and raises `Abandoned` if that was cancelled; see `deadline_scope`.
    """
    of_job, is_abandoned = _SCOPE.get()
    if is_abandoned():
        raise Abandoned
    now = time.monotonic()
    if any(limit is not None and now > limit for limit in (deadline, of_job)):
        raise DeadlineExceeded("the deadline passed before the work was done; send a smaller image or allow more time")


_SCOPE: ContextVar[tuple[float | None, Callable[[], bool]]] = ContextVar(
    "deadline_scope", default=(None, lambda: False)
)
