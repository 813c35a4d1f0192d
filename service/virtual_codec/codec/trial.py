"""Trial of an operating point: codes, decodes, restores and measures the image as a decoder will show it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import bitstream
from virtual_codec.codec.model import ModelNetworks, condition_of, lanczos_reduced, plain_restore
from virtual_codec.codec.operating import Mode
from virtual_codec.codec.probe import Probe, probe_of
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codecs import JpegSettings, StandardCodec, description_settings, quantisation_tables
from virtual_codec.jobs import check_deadline
from virtual_codec.networks.condition import condition

# Largest step at which the image itself is the better description at full size without subsampling. Up to this step
# it makes photographs' streams 0.3 to 6 % smaller (held-out crops); above it, as much larger.
_FINEST_DESCRIPTION_STEP: Final = 3.2
# Largest change by the network, as a squared distance over the squared step, at which its description is used. (The
# change by quantisation is about 0.1.) Noise, dithering and drawings exceed it. From step 4 to 64 this rule makes their
# streams 15 % smaller; always taking the better description would make them 15.5 % smaller. For photographs the two
# figures are 0.25 and 0.3 %.
_MAX_DESCRIPTION_CHANGE: Final = 0.02

_MAX_KEPT_SAMPLES: Final = 1_500_000  # largest image or probe whose trials are kept: a search makes some 20 of them


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Stream of an image, and the distance of its restored image from the original.

    `coded` is the stream without this project's segment, `header` the content of the segment. `squared_error` is the
    mean over all samples; `restored` is the image that this project's decoder will show.
    """

    coded: bytes = field(repr=False)
    header: bitstream.StreamHeader
    mode: Mode
    settings: JpegSettings
    squared_error: float
    restored: NDArray[np.uint8] = field(repr=False)

    @property
    def step(self) -> float:
        """Mean of the luma quantisation table."""
        return self.settings.step

    @property
    def size_bytes(self) -> int:
        """Size of the whole stream in bytes."""
        return len(self.coded) + bitstream.SEGMENT_BYTES

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio over all samples; 100 for identical images."""
        return 100.0 if self.squared_error == 0 else 10 * math.log10(255**2 / self.squared_error)

    def cost(self, multiplier: float) -> float:
        """Lagrangian cost: squared error over all pixels plus `multiplier` times bits, times the mode's cost factor."""
        pixels: int = self.restored.shape[0] * self.restored.shape[1]
        return self.mode.cost_factor * (self.squared_error * pixels + multiplier * 8 * self.size_bytes)


@dataclass(frozen=True, kw_only=True)
class ReferenceJpeg:
    """Measures of an image as an ordinary JPEG: bytes of the file, and mean squared error over all samples."""

    size_bytes: int
    squared_error: float

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio over all samples."""
        return 10 * math.log10(255**2 / self.squared_error)


@final
class Trials:
    """Trials of one image with one codec.

    `model` makes the descriptions. `restorer` restores them, and the streams name it; by default it is `model` too.
    `reference_jpegs` caches the measures of the image as an ordinary JPEG, by quality.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        model: ModelNetworks,
        codec: StandardCodec,
        *,
        stopwatch: Stopwatch,
        passes: int = 2,
        restorer: ModelNetworks | None = None,
    ) -> None:
        self.pixels = pixels
        self._sampled: Probe | None = None
        self._measured: dict[tuple[Mode, JpegSettings], Trial] = {}
        self.reference_jpegs: dict[int, ReferenceJpeg] = {}
        self._passes = passes
        self._model = model
        self._restorer = restorer or model
        self._codec = codec
        self._stopwatch = stopwatch

    @property
    def is_grey(self) -> bool:
        """True if the image has one channel."""
        return self.pixels.ndim == 2

    @property
    def least_scale(self) -> int:
        """Smallest scale at which the description fits the codec's longest side."""
        longest: int = max(self.pixels.shape[:2])
        return -(-longest // self._codec.longest_side)

    @cached_property
    def probe(self) -> Trials:
        """Trials of the image's probe, a sample of its tiles. A small image is its own probe."""
        with self.stage("encode"):
            probe = probe_of(self.pixels) if self.least_scale == 1 else None
        if probe is None:
            return self
        trials = self._of_pixels(probe.pixels, self._restorer)
        trials._sampled = probe
        return trials

    def restored_by(self, restorer: ModelNetworks) -> Trials:
        """Trials of the same image whose descriptions another model restores."""
        trials = self._of_pixels(self.pixels, restorer)
        trials._sampled, trials.reference_jpegs = self._sampled, self.reference_jpegs
        return trials

    def _of_pixels(self, pixels: NDArray[np.uint8], restorer: ModelNetworks) -> Trials:
        return Trials(
            pixels, self._model, self._codec, stopwatch=self._stopwatch, passes=self._passes, restorer=restorer
        )

    @cached_property
    def halving_error(self) -> float:
        """Mean squared error of the image after downscaling and upscaling by 2 with the plain filters."""
        with self.stage("encode"):
            halved = lanczos_reduced(self.pixels, 2)
            return self.squared_error(self._cropped(plain_restore(halved, 2)))

    @cached_property
    def halved_chroma_error(self) -> float:
        """Mean squared error of the image after downscaling and upscaling its chroma by 2; 0 for a grey image."""
        if self.is_grey:
            return 0.0
        with self.stage("encode"):
            whole = Image.fromarray(self.pixels).convert("YCbCr")
            luma, *chroma = whole.split()
            half = [-(-side // 2) for side in whole.size]
            halved = [
                plane.resize(half, Image.Resampling.BOX).resize(whole.size, Image.Resampling.BILINEAR)
                for plane in chroma
            ]
            shown = Image.merge("YCbCr", (luma, *halved)).convert("RGB")
            return mean_squared_error(np.asarray(shown), np.asarray(whole.convert("RGB")))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Timer of a stage of the job. Raises `DeadlineExceeded` if the deadline has passed."""
        check_deadline()
        with self._stopwatch.stage(name):
            yield

    def settings(self, mode: Mode, step: float) -> JpegSettings:
        """Encoder settings at a mode and step, with the scale's, the model's and the encoder's own parameters."""
        return description_settings(
            mode.scale,
            step,
            subsampling=mode.subsampling,
            chroma_dc=self._model.manifest.encoder.chroma_dc,
            passes=self._passes,
        )

    def describe(self, mode: Mode, settings: JpegSettings) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Description for a mode and settings, 0 to 255: [h, w, 3], or [h, w] of a grey image.

        If the image itself is the best description, it is returned and must not be modified.
        """
        may_be_image = mode.scale == 1 and (self.is_grey or mode.subsampling == "444")
        if may_be_image and settings.step <= _FINEST_DESCRIPTION_STEP:
            return self.pixels
        with self.stage("device"):
            described = self._model.describe(self.pixels, mode.scale, self.condition(mode, settings))
        if may_be_image and mean_squared_error(described, self.pixels) > _MAX_DESCRIPTION_CHANGE * settings.step**2:
            return self.pixels
        return described

    def encode(
        self,
        mode: Mode,
        settings: JpegSettings,
        description: NDArray[np.uint8] | NDArray[np.float32] | None = None,
        *,
        optimise: bool = False,
    ) -> bytes:
        """Stream of the description, or of the one given, without this project's segment."""
        if description is None:
            description = self.describe(mode, settings)
        with self.stage("encode"):
            coded = self._codec.encode(description, settings)
            return self._codec.optimise_scans(coded) if optimise else coded

    def measure(self, mode: Mode, settings: JpegSettings, coded: bytes | None = None) -> Trial:
        """Trial of a mode and settings: code the image (or take `coded`), decode, restore and compare.

        The header's `show_decoded` is set if the plain filter is at least as close to the image as post-processing.
        """
        if coded is None and (known := self._measured.get((mode, settings))) is not None:
            return known
        trial = self._measure(mode, settings, coded if coded is not None else self.encode(mode, settings))
        if coded is None and self.pixels.size <= _MAX_KEPT_SAMPLES:
            self._measured[mode, settings] = trial
        return trial

    def _measure(self, mode: Mode, settings: JpegSettings, coded: bytes) -> Trial:
        decoded = self.decode(coded)
        with self.stage("device"):
            vector = condition_of(bitstream.layout(coded), own=True)
            restored = self._cropped(self._restorer.restore(decoded, mode.scale, vector))
        plain = self._cropped(plain_restore(decoded, mode.scale))
        error, plain_error = (self.squared_error(shown) for shown in (restored, plain))
        show_decoded = plain_error <= error
        header = bitstream.StreamHeader(
            model=self._restorer.manifest.id,
            scale=mode.scale,
            width_remainder=self.pixels.shape[1] - mode.scale * (decoded.shape[1] - 1),
            height_remainder=self.pixels.shape[0] - mode.scale * (decoded.shape[0] - 1),
            show_decoded=show_decoded,
        )
        return Trial(
            coded=coded,
            header=header,
            mode=mode,
            settings=settings,
            squared_error=plain_error if show_decoded else error,
            restored=plain if show_decoded else restored,
        )

    def squared_error(self, picture: NDArray[np.uint8]) -> float:
        """Mean squared error of a picture of the image's size; for a probe, the estimated error of its image."""
        if self._sampled is None:
            return mean_squared_error(picture, self.pixels)
        return sum(
            weight * mean_squared_error(picture[area], self.pixels[area])
            for area, weight in zip(self._sampled.areas, self._sampled.weights, strict=True)
        )

    def optimised_share(self, coded: bytes) -> float:
        """Share of a stream's bytes that remains after `optimise_scans`."""
        with self.stage("encode"):
            return (len(self._codec.optimise_scans(coded)) + bitstream.SEGMENT_BYTES) / (
                len(coded) + bitstream.SEGMENT_BYTES
            )

    def decode(self, coded: bytes) -> NDArray[np.uint8]:
        """Decoded picture of a stream, as every decoder of the standard shows it."""
        with self.stage("encode"):
            return self._codec.decode(coded)

    def error_gradient(self, mode: Mode, settings: JpegSettings, decoded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Derivative of the restored image's squared error, summed over its samples, by each sample of `decoded`."""
        with self.stage("device"):
            return self._restorer.error_gradient(decoded, mode.scale, self.condition(mode, settings), self.pixels)

    def condition(self, mode: Mode, settings: JpegSettings) -> NDArray[np.float32]:
        """Condition vector of the stream that a mode and settings make."""
        tables = quantisation_tables(settings)[: 1 if self.is_grey else 2]
        subsampled = mode.subsampling == "420" and not self.is_grey
        return condition([table.astype(np.uint16) for table in tables], subsampled=subsampled, own=True)

    def _cropped(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return picture[: self.pixels.shape[0], : self.pixels.shape[1]]


def mean_squared_error(picture: NDArray[np.uint8] | NDArray[np.float32], image: NDArray[np.uint8]) -> float:
    """Mean squared difference over all samples, summed in bands so that large images need little memory."""
    total = 0.0
    for top in range(0, len(image), 256):
        band, wanted = picture[top : top + 256], image[top : top + 256]
        if picture.dtype == np.uint8:
            total += int(np.square(band.astype(np.int32) - wanted).sum(dtype=np.int64))
        else:
            total += float(np.square(band - wanted).sum(dtype=np.float64))
    return total / image.size
