"""`POST /compress`, `POST /decompress` and `POST /playground/ordinary`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from virtual_codec import bitstream, images
from virtual_codec.api._accept import choose
from virtual_codec.api._answer import PiecewiseResponse
from virtual_codec.api._budget import ByteBudget, Reservation
from virtual_codec.api._exchange import exchange_of
from virtual_codec.api._metrics import Metrics
from virtual_codec.api._pages import find_model
from virtual_codec.api._quota import Quotas
from virtual_codec.api._request import BodyReader
from virtual_codec.errors import BadOption, NotAcceptable, UnsupportedFormat, VirtualCodecError
from virtual_codec.images import RESTORABLE, ImageLimits
from virtual_codec.jobs import (
    DEFAULT_EFFORT,
    CompressOptions,
    CompressResult,
    Job,
    OrdinaryOptions,
    OutputFormat,
    RestoreOptions,
    RestoreResult,
)
from virtual_codec.serving import Pool, Result
from virtual_codec.serving.catalogue import Catalogue

OUTPUTS: Final[dict[str, OutputFormat]] = {images.MEDIA_TYPES[output]: output for output in ("png", "webp", "bmp")}
_STREAM_BYTES_PER_PIXEL: Final = 1  # more than all but the highest qualities of noise need
_HEAD_BYTES: Final = 64 * 1024
_STAGES: Final = ("decode", "queue", "device", "encode")


def largest_answer_bytes(pixels: int) -> int:
    """Size in bytes of the largest answer of /decompress: a BMP. PNG and WebP exceed it only by their headers."""
    return 3 * pixels + _HEAD_BYTES


@final
class Jobs:
    """Job endpoints: /compress, /decompress and /playground/ordinary."""

    def __init__(
        self,
        pool: Pool,
        reader: BodyReader,
        budget: ByteBudget,
        metrics: Metrics,
        limits: ImageLimits,
        max_effort: int,
        catalogue: Catalogue,
        quotas: Quotas | None = None,
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._budget = budget
        self._metrics = metrics
        self._limits = limits
        self._max_effort = max_effort
        self._catalogue = catalogue
        self._quotas = quotas

    async def compress(self, request: Request) -> Response:
        """Compress an image to a standard JPEG that any program opens and /decompress restores."""
        return await self._encode(request, "/compress", self._options)

    async def ordinary(self, request: Request) -> Response:
        """Encode an image as an ordinary JPEG, WebP or AVIF, for the comparison in the playground."""
        return await self._encode(request, "/playground/ordinary", OrdinaryOptions.parse)

    async def decompress(self, request: Request) -> Response:
        """Restore a stream of /compress, or improve any other JPEG, to a PNG, WebP or BMP."""
        with self._metrics.in_progress.labels("/decompress").track_inprogress():
            reservation = self._reserve(request)
            exchange_of(request.scope).vary = "Accept"
            media_type = choose(request.headers.getlist("accept"), list(OUTPUTS))
            if media_type is None:
                raise NotAcceptable(f"accept one of {', '.join(OUTPUTS)}")
            deadline = self._reader.deadline(request)
            _refuse_options(self._reader.query(request))
            await self._admit(request, deadline)
            body = await self._reader.read(request, deadline, reservation, has_query=False)
            _refuse_options(body.fields)
            pixels = await asyncio.to_thread(self._probe_restored, body.data)
            reservation.grow(len(body.data) + largest_answer_bytes(pixels))
            options = RestoreOptions(output=OUTPUTS[media_type])
            result = await self._submit(request, body.data, deadline, options, pixels)
        assert isinstance(result, RestoreResult)
        return _answer(result.image, _headers(result), result.media_type, reservation)

    async def _encode(
        self, request: Request, route: str, parse: Callable[[Mapping[str, str]], CompressOptions | OrdinaryOptions]
    ) -> Response:
        """Answer of a job that turns an image into a smaller file."""
        with self._metrics.in_progress.labels(route).track_inprogress():
            reservation = self._reserve(request)
            deadline = self._reader.deadline(request)
            # Check everything in the headers before the body, so that no caller uploads 64 MiB only to be refused.
            query = self._reader.query(request)
            options = parse(query) if query else None
            await self._admit(request, deadline)
            body = await self._reader.read(request, deadline, reservation, has_query=bool(query))
            if options is None:
                options = parse(body.fields)
            pixels = await asyncio.to_thread(self._probe, body.data)
            reservation.grow(len(body.data) + pixels * _STREAM_BYTES_PER_PIXEL)
            result = await self._submit(request, body.data, deadline, options, pixels)
        assert isinstance(result, CompressResult)
        headers = _headers(result) | {"Vcodec-Quality": str(result.quality)}
        if result.psnr_db is not None:
            headers["Vcodec-Psnr"] = f"{result.psnr_db:.3f}"
        if result.ms_ssim is not None:
            headers["Vcodec-Ms-Ssim"] = f"{result.ms_ssim:.5f}"
        if result.left_out:
            headers["Vcodec-Left-Out"] = ", ".join(result.left_out)
        return _answer(result.stream, headers, result.media_type, reservation)

    def _reserve(self, request: Request) -> Reservation:
        """Reservation that is given back after the last byte of the answer."""
        return exchange_of(request.scope).resources.enter_context(self._budget.reserve())

    def _options(self, text: Mapping[str, str]) -> CompressOptions:
        effort = str(min(DEFAULT_EFFORT, self._max_effort))  # the default is never refused
        options = CompressOptions.parse({"effort": effort, **text})
        if options.effort > self._max_effort:
            raise BadOption(
                f"effort must be at most {self._max_effort} on this server, got {options.effort}",
                limit=self._max_effort,
                actual=options.effort,
            )
        if options.model is not None:
            find_model(self._catalogue, options.model)
        return options

    async def _admit(self, request: Request, deadline: float) -> None:
        self._pool.admit(deadline)  # before counting the quota: a refusal by the service must not use it up
        if self._quotas is not None:
            await self._quotas.take_request(exchange_of(request.scope).key)

    async def _submit(
        self,
        request: Request,
        data: bytes,
        deadline: float,
        options: CompressOptions | RestoreOptions | OrdinaryOptions,
        pixels: int,
    ) -> Result:
        exchange = exchange_of(request.scope)
        exchange.facts["pixels"] = pixels
        if self._quotas is not None:
            await self._quotas.take_pixels(exchange.key, pixels)
        with self._catalogue.use(*_requested_model(options, data)) as model:
            job = Job(
                data=data,
                options=options if isinstance(options, OrdinaryOptions) else replace(options, model=model.id),
                request_id=exchange.request_id,
                trace_id=exchange.trace_id,
                deadline=deadline,
            )
            exchange.facts["model"] = model.id
            exchange.submitted_at = time.monotonic()
            try:
                result = await _while_connected(request, asyncio.create_task(self._pool.submit(job, pixels=pixels)))
            except VirtualCodecError as error:
                exchange.facts |= {"worker": error.worker} if error.worker else {}
                raise
        form = images.sniff(data)
        codec = _stream_codec(options, form)
        self._metrics.observe_result(request.scope["route"].path, len(data), form, codec, result, exchange.key)
        exchange.job_stages_s = result.stages_s
        exchange.facts |= {
            "size": f"{result.width}x{result.height}",
            "scale": result.scale,
            "bpp": round(result.rate_bpp, 4),
            **({"model": result.model} if result.model else {}),
            **({"worker": result.worker} if result.worker else {}),
        }
        return result

    def _probe(self, image: bytes) -> int:
        width, height = images.probe(image, limits=self._limits)
        return width * height

    def _probe_restored(self, stream: bytes) -> int:
        form = images.sniff(stream)
        if form not in RESTORABLE:
            raise UnsupportedFormat(
                f"only {', '.join(RESTORABLE.values())} files can be restored; this is a {form.upper()} file"
            )
        width, height = images.probe(stream, limits=self._limits)
        if form != "jpeg":
            return width * height
        if (header := bitstream.find(stream, max_segments=self._limits.max_segments)) is not None:
            width = header.scale * (width - 1) + header.width_remainder
            height = header.scale * (height - 1) + header.height_remainder
            self._limits.check(width, height)
        return width * height


def _requested_model(
    options: CompressOptions | RestoreOptions | OrdinaryOptions, data: bytes
) -> tuple[str | None, str]:
    """Model that a job names, and the codec that a model chosen instead must support."""
    if isinstance(options, OrdinaryOptions):
        return None, "jpeg"
    return options.model, options.codec if isinstance(options, CompressOptions) else images.sniff(data)


def _stream_codec(options: CompressOptions | RestoreOptions | OrdinaryOptions, form: str) -> str | None:
    """Codec of the stream that a job makes or restores; None for an ordinary file."""
    if isinstance(options, OrdinaryOptions):
        return None
    return options.codec if isinstance(options, CompressOptions) else form


def _answer(body: bytes, headers: Mapping[str, str], media_type: str, reservation: Reservation) -> Response:
    """Answer of a job. From now on, only the bytes of the answer are held."""
    reservation.resize(len(body))
    return PiecewiseResponse(body, headers=headers, media_type=media_type)


def _refuse_options(text: Mapping[str, str]) -> None:
    if text:
        raise BadOption(f"unknown option {next(iter(text))[:40]!r}; /decompress has no options")


async def _while_connected(request: Request, task: asyncio.Task[Result]) -> Result:
    """Result of the task. If the caller disconnects first, cancels the task and raises `ClientDisconnect`."""
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _headers(result: Result) -> dict[str, str]:
    stages_ms = {stage: 1000 * result.stages_s.get(stage, 0.0) for stage in _STAGES}
    return {
        **({"Vcodec-Model": result.model, "Vcodec-Scale": str(result.scale)} if result.model else {}),
        "Vcodec-Size": f"{result.width}x{result.height}",
        "Vcodec-Bpp": f"{result.rate_bpp:.4f}",
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages_ms.items()),
    }
