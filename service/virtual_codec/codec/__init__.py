"""Virtual codec: `VirtualCodec` runs whole jobs, from bytes to bytes, in any process.

compress:  image ─► description ─► stream ─► decoded ─► restored, measured ─► the best stream
restore:   stream ─► decoded ─► restored ─► PNG
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream, images
from virtual_codec.codec.compress_by_quality import compress_by_quality
from virtual_codec.codec.effort import EFFORTS
from virtual_codec.codec.loaded_models import LoadedModels
from virtual_codec.codec.metadata_budget import without_metadata
from virtual_codec.codec.model import ModelNetworks, is_neutral
from virtual_codec.codec.ordinary import encode_ordinary
from virtual_codec.codec.restorer_choice import warm_alternatives, with_best_restorer
from virtual_codec.codec.restoring import find_header, restored_foreign, restored_own, restored_upright
from virtual_codec.codec.search import trial_at_quality
from virtual_codec.codec.self_check import check_model
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.targets import trial_at_target
from virtual_codec.codec.trial import Trials
from virtual_codec.codecs import CODECS, QUALITY_CODECS, JpegSettings
from virtual_codec.core_shares import CoreShares
from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadOption, UnsupportedFormat
from virtual_codec.images import RESTORABLE, ImageLimits
from virtual_codec.jobs import (
    DEFAULT_QUALITY,
    CompressOptions,
    CompressResult,
    Job,
    OrdinaryOptions,
    RestoreOptions,
    RestoreResult,
    check_deadline,
)
from virtual_codec.metrics import MS_SSIM_MIN_SIDE, ms_ssim
from virtual_codec.runner import Runner, open_runner
from virtual_codec.store import ModelStore

__all__ = ["VirtualCodec", "open_codec"]


def open_codec(
    store: Path,
    *,
    device: str = "cpu",
    threads: int | None = None,
    shares: CoreShares | None = None,
    device_process: Path | None = None,
    limits: ImageLimits | None = None,
    max_effort: int = 9,
    model: str | None = None,
) -> VirtualCodec:
    """Open a codec on a model store and warm up its default model (see `VirtualCodec.warm`).

    `threads`, `shares` and `device_process` are as in `virtual_codec.runner.open_runner`. `model`, a name or id,
    replaces the store's default. Other models that are damaged are skipped.
    """
    runner = open_runner(device, threads=threads, shares=shares, device_process=device_process)
    codec = VirtualCodec(ModelStore(store, default=model, tolerant=True), runner, limits=limits, max_effort=max_effort)
    codec.warm()
    return codec


@final
class VirtualCodec:
    """Compresses images to standard streams and restores them. Safe to use from several threads."""

    def __init__(
        self,
        store: ModelStore,
        runner: Runner,
        *,
        limits: ImageLimits | None = None,
        max_effort: int = 9,
    ) -> None:
        images.configure_pillow()
        self._store_root = store.root
        self._models = LoadedModels(store, runner)
        self._runner = runner
        self._limits = limits or ImageLimits()
        self._max_effort = max_effort

    @property
    def notes(self) -> Mapping[str, str]:
        """Notes by name on features that this machine lacks, and their replacements."""
        return self._runner.notes

    @property
    def counts(self) -> RunnerCounts:
        """Counters of the runner since it was opened."""
        return self._runner.counts

    def run(self, job: Job) -> CompressResult | RestoreResult:
        """Run a job of either kind. Callers set its deadline with `virtual_codec.jobs.deadline_scope`."""
        if isinstance(job.options, CompressOptions):
            return self.compress(job.data, job.options)
        if isinstance(job.options, OrdinaryOptions):
            return self.ordinary(job.data, job.options)
        return self.restore(job.data, job.options)

    def compress(self, data: bytes, options: CompressOptions | None = None) -> CompressResult:
        """Compress an image file to a stream.

        Raises subclasses of `errors.BadInput`, `ModelNotFound`, `BadModel`, and `DeadlineExceeded`.
        """
        options = options or CompressOptions()
        if options.effort > self._max_effort:
            detail = f"effort must be at most {self._max_effort} on this server, got {options.effort}"
            raise BadOption(detail, limit=self._max_effort, actual=options.effort)
        stopwatch = Stopwatch()
        model = self._models.of_codec(options.codec, options.model)
        pixels, is_flattened = self._pixels(data, options.background, stopwatch)
        kept = images.read_metadata(data, options.metadata)
        result = self._compress(pixels, kept, model, options, stopwatch)
        return replace(result, left_out=images.left_out(data, options.metadata, is_flattened=is_flattened))

    def _compress(
        self,
        pixels: NDArray[np.uint8],
        kept: images.Metadata,
        model: ModelNetworks,
        options: CompressOptions,
        stopwatch: Stopwatch,
    ) -> CompressResult:
        height, width = pixels.shape[:2]
        if options.min_ms_ssim is not None and min(height, width) < MS_SSIM_MIN_SIDE:
            detail = f"min_ms_ssim needs sides of at least {MS_SSIM_MIN_SIDE} pixels, got {width}x{height}"
            raise BadOption(detail, limit=MS_SSIM_MIN_SIDE, actual=min(width, height))
        grey_as_colour = is_neutral(pixels)
        if grey_as_colour:
            pixels = pixels[..., 0].copy()
        if options.codec in QUALITY_CODECS:
            return compress_by_quality(pixels, model, options, kept, stopwatch, grey_as_colour=grey_as_colour)
        metadata = images.metadata_segments(kept)
        codec = CODECS[options.codec]
        effort = EFFORTS[options.effort]
        trials = Trials(pixels, model, codec, stopwatch=stopwatch, passes=effort.passes)
        trials = with_best_restorer(trials, self._models.alternatives_of(model), model.operating, options)
        find = trial_at_target if options.target else trial_at_quality
        best = find(trials, model.operating, without_metadata(options, len(metadata), height * width))
        with stopwatch.stage("encode"):
            # A size target counts the final bytes.
            is_final = options.max_bytes is not None or options.max_bpp is not None
            coded = codec.optimise_scans(best.coded) if effort.optimises_scans and not is_final else best.coded
            stream = bitstream.insert(coded, replace(best.header, grey_as_colour=grey_as_colour))
            if metadata:
                stream = images.insert_segments(stream, metadata)
        check_deadline()
        quality = options.quality or DEFAULT_QUALITY
        is_large_enough = min(height, width) >= MS_SSIM_MIN_SIDE
        wants_ms_ssim = options.min_ms_ssim is not None or (options.measure and is_large_enough)
        return CompressResult(
            stream=stream,
            media_type=codec.media_type,
            model=best.header.model,
            scale=best.mode.scale,
            width=width,
            height=height,
            quality=model.operating.nearest_quality(best.mode, best.step) if options.target else quality,
            psnr_db=best.psnr_db,
            ms_ssim=ms_ssim(best.restored, pixels) if wants_ms_ssim else None,
            stages_s=stopwatch.stages_s,
        )

    def ordinary(self, data: bytes, options: OrdinaryOptions) -> CompressResult:
        """Encode an image as an ordinary JPEG, WebP or AVIF, for comparison. Raises the errors of `compress`."""
        stopwatch = Stopwatch()
        pixels = self._pixels(data, CompressOptions.background, stopwatch).pixels
        if is_neutral(pixels):
            pixels = pixels[..., 0].copy()
        with stopwatch.stage("encode"):
            return encode_ordinary(pixels, options, stopwatch.stages_s)

    def restore(self, data: bytes, options: RestoreOptions | None = None) -> RestoreResult:
        """Restore a stream of this project, or any other JPEG, WebP, AVIF or JPEG 2000, to an image file.

        Raises the errors of `compress`.
        """
        options = options or RestoreOptions()
        stopwatch = Stopwatch()
        form = images.sniff(data)
        if form not in RESTORABLE:
            raise UnsupportedFormat(f"only {', '.join(RESTORABLE.values())} can be restored; this is a {form.upper()}")
        header = find_header(data, self._limits)
        if header is None:
            model, scale = self._models.of_foreign(form, options.model), 1
            restored = restored_foreign(data, model, self._limits, stopwatch)
        else:
            model, scale = self._models.of_stream(header), header.scale
            restored = restored_own(data, header, model, self._limits, stopwatch)
        check_deadline()
        with stopwatch.stage("encode"):
            metadata = images.metadata_of_stream(data) if header is not None else images.Metadata()
            image = images.encode(restored, options.output, metadata)
        height, width = restored.shape[:2]
        return RestoreResult(
            image=image,
            media_type=images.MEDIA_TYPES[options.output],
            model=model.manifest.id,
            scale=scale,
            width=width,
            height=height,
            rate_bpp=8 * len(data) / (width * height),
            stages_s=stopwatch.stages_s,
        )

    def close(self) -> None:
        """Close the runner after its running tiles. Jobs in other threads are abandoned at their next tile."""
        self._runner.close()

    def warm_model(self, model: str) -> None:
        """Reread the store, load a model while jobs go on, and check that it works. The default model stays.

        `model` is a name or id. If it raises `BadModel` or `ModelNotFound`, nothing has changed.
        """
        store = ModelStore(self._store_root, default=model, tolerant=True)
        candidate = VirtualCodec(store, self._runner, limits=self._limits, max_effort=self._max_effort)
        candidate.warm()
        self._models.adopt(candidate._models)

    def forget_model(self, model: str) -> None:
        """Free the memory of the model of that id, and of alternatives that no other default has.

        Jobs that use them go on; a later job loads them again.
        """
        self._models.forget(model)

    def warm(self) -> None:
        """Load and check the default model, and run whole jobs with it, so that the first request does not wait.

        Its alternatives are loaded too; damaged ones are passed over. Raises `BadModel` if the model fails the check.
        """
        model = self._models.default()
        model.warm()
        check_model(model)
        ramp = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
        pixels = np.stack([ramp, ramp[::-1], 255 - ramp], axis=2)
        codec = next(iter(model.manifest.codecs))
        if codec == "jpeg":
            foreign = CODECS["jpeg"].encode(pixels, JpegSettings(step=16.0))  # without a segment
            self.restore(foreign)
            warm_alternatives(self._models.alternatives_of(model))
        colour = images.encode(pixels, "png")
        effort = min(5, self._max_effort)  # efforts from 5 on compute gradients too
        for scale in model.manifest.scales:
            options = CompressOptions(effort=effort, scale=scale, codec=codec)
            self.restore(self.compress(colour, options).stream)

    def _pixels(self, data: bytes, background: tuple[int, int, int], stopwatch: Stopwatch) -> images.Picture:
        header = find_header(data, self._limits)
        if header is not None:  # a stream of this project, whose image is larger than its description
            model = self._models.of_stream(header)
            return images.Picture(restored_upright(data, header, model, self._limits, stopwatch))
        with stopwatch.stage("decode"):
            return images.decode_picture(data, limits=self._limits, background=background)
