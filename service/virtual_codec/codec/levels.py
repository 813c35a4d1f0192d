"""Trials and search for codecs that take a quality level: WebP, AVIF and JPEG 2000, at full size.

    image ─► encoder at a level ─► stream ─► decoded ─► restored, measured

No network makes a description here: the image is coded itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream
from virtual_codec.codec.model import ModelNetworks, as_grey, condition_of_quantisation
from virtual_codec.codec.quality_scale import QualityScale
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import mean_squared_error
from virtual_codec.codecs import QualityCodec, QualitySettings
from virtual_codec.errors import BadOption, UndecodableImage, UnreachableTarget
from virtual_codec.images import Metadata
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions, check_deadline
from virtual_codec.metrics import ms_ssim

# Speed of each codec's encoder at efforts 0 to 9. AVIF's 6 is libavif's own default; 2 takes some 30 times as long.
_ENCODER_SPEEDS: Final = {
    "avif": (9, 8, 8, 7, 6, 5, 4, 4, 3, 2),
    "webp": (0, 1, 2, 3, 4, 5, 6, 6, 6, 6),
    "jpeg2000": (0,) * 10,
}
# Pairs of an AVIF speed and its seconds of one core per megapixel.
_AVIF_TIMES: Final = ((10, 0.1), (9, 0.12), (8, 0.15), (7, 0.3), (6, 0.5), (5, 1.2), (4, 2.7), (3, 6.0), (2, 16.0))
_MAX_AVIF_S: Final = 20.0  # longest time of one stream: an encoder cannot be stopped at the deadline
_LOG_BYTES_PER_LEVEL: Final = 0.045  # mean of photographs, for first guesses
_DB_PER_LEVEL: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class LevelTrial:
    """Whole stream of an image at a level, and the distance of its restored image from the original.

    `squared_error` is the mean over all samples; `restored` is the image that this project's decoder will show.
    """

    stream: bytes = field(repr=False)
    settings: QualitySettings
    squared_error: float
    restored: NDArray[np.uint8] = field(repr=False)

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio over all samples; 100 for identical images."""
        return 100.0 if self.squared_error == 0 else 10 * math.log10(255**2 / self.squared_error)


@final
class LevelTrials:
    """Trials of one image, [H, W, 3] or [H, W], with one model and codec at one effort.

    With `grey_as_colour` the grey image comes from a colour file. Raises `BadOption` for an image that is too large for
    the codec, and for a codec that this machine's Pillow lacks.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        model: ModelNetworks,
        codec: QualityCodec,
        *,
        effort: int,
        stopwatch: Stopwatch,
        metadata: Metadata | None = None,
        grey_as_colour: bool = False,
    ) -> None:
        if not codec.is_available:
            raise BadOption(f"this machine's Pillow was built without {codec.title}; use another codec")
        height, width = pixels.shape[:2]
        if max(height, width) > codec.longest_side:
            raise BadOption(
                f"{codec.title} supports sides of up to {codec.longest_side} pixels, the image is {width}x{height}; "
                "use another codec",
                limit=codec.longest_side,
                actual=max(height, width),
            )
        self.pixels = pixels
        self.levels = codec.levels
        self._codec = codec
        self._effort = effort
        self._model = model
        self._stopwatch = stopwatch
        self._metadata = metadata or Metadata()
        self._grey_as_colour = grey_as_colour

    def settings(self, level: int) -> QualitySettings:
        """Encoder settings at a level."""
        speed = _ENCODER_SPEEDS[self._codec.name][self._effort]
        if self._codec.name == "avif":
            speed = max(speed, _min_avif_speed(self.pixels.shape[0] * self.pixels.shape[1]))
        return QualitySettings(level=level, speed=speed, subsampling=self._codec.subsamplings[-1])

    def encode(self, level: int) -> bytes:
        """Stream at a level, with metadata and without this project's header."""
        check_deadline()
        with self._stopwatch.stage("encode"):
            return self._codec.encode(
                self.pixels, self.settings(level), exif=self._metadata.exif, xmp=self._metadata.xmp
            )

    def size_bytes(self, coded: bytes) -> int:
        """Size in bytes of a stream of `encode` with this project's header."""
        return len(bitstream.attach(coded, self._header(), self._codec.name))

    def measure(self, level: int, coded: bytes | None = None) -> LevelTrial:
        """Trial of a level: code the image (or take `coded`), decode, restore and compare.

        The header's `show_decoded` is set if the decoded picture is at least as close to the image as the restored one.
        """
        coded = coded if coded is not None else self.encode(level)
        with self._stopwatch.stage("encode"):
            decoded = self._codec.decode(coded)
        if self.pixels.ndim == 2:
            decoded = as_grey(decoded)
        check_deadline()
        with self._stopwatch.stage("device"):
            found = bitstream.quantisation(coded, self._codec.name)
            if found is None:
                raise UndecodableImage(f"the {self._codec.title} encoder made a stream without a readable quantiser")
            restored = self._model.restore(decoded, 1, condition_of_quantisation(found))
        error, plain_error = (mean_squared_error(shown, self.pixels) for shown in (restored, decoded))
        shows_decoded = plain_error <= error
        header = self._header(shows_decoded=shows_decoded)
        return LevelTrial(
            stream=bitstream.attach(coded, header, self._codec.name),
            settings=self.settings(level),
            squared_error=min(error, plain_error),
            restored=decoded if shows_decoded else restored,
        )

    def _header(self, *, shows_decoded: bool = False) -> bitstream.StreamHeader:
        return bitstream.StreamHeader(
            model=self._model.manifest.id,
            scale=1,
            width_remainder=1,
            height_remainder=1,
            show_decoded=shows_decoded,
            grey_as_colour=self._grey_as_colour,
            colour_as_grey=self.pixels.ndim == 2 and not self._codec.has_grey,
        )


def best_level(trials: LevelTrials, scale: QualityScale, options: CompressOptions) -> LevelTrial:
    """Trial at the quality of `options`, or the one that meets their target. Raises `UnreachableTarget`."""
    if options.max_bytes is not None:
        return _finest_trial_within_bytes(trials, options.max_bytes)
    if options.max_bpp is not None:
        return _finest_trial_within_rate(trials, options.max_bpp)
    if options.min_psnr is not None:
        return _coarsest_trial_reaching(trials, options.min_psnr, lambda trial: trial.psnr_db, " dB", _DB_PER_LEVEL)
    if options.min_ms_ssim is not None:
        return _coarsest_trial_reaching(
            trials, options.min_ms_ssim, lambda trial: ms_ssim(trial.restored, trials.pixels), "", 0.002
        )
    return trials.measure(scale.level(options.quality or DEFAULT_QUALITY))


def _min_avif_speed(pixels: int) -> int:
    """Least speed at which an AVIF of `pixels` pixels does not take too long."""
    return min(speed for speed, seconds in _AVIF_TIMES if speed == 10 or seconds * pixels / 1e6 <= _MAX_AVIF_S)


def _finest_trial_within_bytes(trials: LevelTrials, most: int) -> LevelTrial:
    """Trial of the finest level within `most` bytes. Raises `UnreachableTarget` with the smallest size."""
    fitting: dict[int, bytes] = {}
    smallest = math.inf

    def excess(level: int) -> float:
        nonlocal smallest
        coded = trials.encode(level)
        size = trials.size_bytes(coded)
        smallest = min(smallest, size)
        if size <= most:
            fitting[level] = coded
        return math.log(size) - math.log(most + 0.5)

    lowest_crossing(excess, trials.levels, _LOG_BYTES_PER_LEVEL)
    if not fitting:
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest:.0f} bytes",
            limit=most,
            actual=smallest,
        )
    finest = max(fitting)
    return trials.measure(finest, fitting[finest])


def _finest_trial_within_rate(trials: LevelTrials, most_bpp: float) -> LevelTrial:
    pixels = trials.pixels.shape[0] * trials.pixels.shape[1]
    try:
        return _finest_trial_within_bytes(trials, max(1, math.floor(most_bpp * pixels / 8 + 1e-6)))
    except UnreachableTarget as error:
        smallest = math.ceil(8e4 * (error.actual or 0) / pixels) / 1e4
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest} bits per pixel",
            limit=most_bpp,
            actual=smallest,
        ) from error


def _coarsest_trial_reaching(
    trials: LevelTrials, least: float, measure: Callable[[LevelTrial], float], unit: str, per_level: float
) -> LevelTrial:
    """Trial of the coarsest level whose `measure` is at least `least`. Raises `UnreachableTarget` with the best."""
    best: LevelTrial | None = None
    nearest = -math.inf

    def excess(level: int) -> float:
        nonlocal best, nearest
        trial = trials.measure(level)
        value = measure(trial)
        nearest = max(nearest, value)
        if value >= least and (best is None or len(trial.stream) < len(best.stream)):
            best = trial
        return value - least

    lowest_crossing(excess, trials.levels, per_level)
    if best is None:
        value = math.floor(nearest * 1e4) / 1e4
        raise UnreachableTarget(
            f"this image cannot be restored that well; the best is {value}{unit}", limit=least, actual=value
        )
    return best


def lowest_crossing(excess: Callable[[int], float], levels: range, per_level: float) -> int | None:
    """Lowest level at which `excess`, a rising function, is at least 0; None if it is negative at the finest level too.

    Each level is evaluated once. The first is the middle one; the next is where a line of slope `per_level` through it
    crosses 0. From there the bracket grows, then is halved. The level below the returned one has been evaluated too.
    """
    low, high = levels.start - 1, levels.stop  # the crossing is above low, and at most at high
    level, stride = (levels.start + levels.stop) // 2, 0
    while high - low > 1:
        value = excess(level)
        if value >= 0:
            high = level
        else:
            low = level
        if stride == 0:  # after the first evaluation
            guess, stride = level - round(value / per_level), 4
        elif low >= levels.start and high < levels.stop:
            guess = (low + high) // 2
        else:
            guess, stride = (high - stride if low < levels.start else low + stride), 2 * stride
        level = min(high - 1, max(low + 1, guess))
    return high if high < levels.stop else None
