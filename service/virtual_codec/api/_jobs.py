"""`POST /compress` and `POST /decompress`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from virtual_codec import bitstream, images
from virtual_codec.api._accept import choose
from virtual_codec.api._exchange import exchange_of
from virtual_codec.api._metrics import Metrics
from virtual_codec.api._quota import Quotas
from virtual_codec.api._request import BodyReader, Sent
from virtual_codec.errors import BadOption, NotAcceptable, UnsupportedFormat, VirtualCodecError
from virtual_codec.images import ImageLimits
from virtual_codec.jobs import (
    DEFAULT_EFFORT,
    CompressOptions,
    CompressResult,
    Job,
    OutputFormat,
    RestoreOptions,
    RestoreResult,
)
from virtual_codec.serving import Pool, Result
from virtual_codec.serving.catalogue import Catalogue

OUTPUTS: Final[dict[str, OutputFormat]] = {images.MEDIA_TYPES[output]: output for output in ("png", "webp", "bmp")}
_STAGES: Final = ("decode", "queue", "device", "encode")


@final
class Jobs:
    """The two endpoints that do work."""

    def __init__(
        self,
        pool: Pool,
        reader: BodyReader,
        metrics: Metrics,
        limits: ImageLimits,
        max_effort: int,
        catalogue: Catalogue,
        quotas: Quotas | None = None,
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._metrics = metrics
        self._limits = limits
        self._max_effort = max_effort
        self._catalogue = catalogue
        self._quotas = quotas

    async def compress(self, request: Request) -> Response:
        """Compress an image to a standard JPEG that any program opens and /decompress restores."""
        with self._metrics.in_progress.labels("/compress").track_inprogress(), self._reader.room() as room:
            deadline = self._reader.deadline(request)
            self._options(self._reader.query(request))  # all this before the body: nobody sends 64 MiB for a refusal
            self._admit(request, deadline)
            sent = await self._reader.read(request, deadline, room)
            options = self._options(sent.options)
            pixels = await asyncio.to_thread(self._probe, sent.data)
            result = await self._submit(request, sent, options, pixels)
        assert isinstance(result, CompressResult)
        headers = _headers(result) | {"Vcodec-Quality": str(result.quality)}
        if result.psnr_db is not None:
            headers["Vcodec-Psnr"] = f"{result.psnr_db:.3f}"
        if result.ms_ssim is not None:
            headers["Vcodec-Ms-Ssim"] = f"{result.ms_ssim:.5f}"
        return Response(result.stream, headers=headers, media_type=result.media_type)

    async def decompress(self, request: Request) -> Response:
        """Restore a stream of /compress, or improve any other JPEG, to a PNG, WebP or BMP."""
        with self._metrics.in_progress.labels("/decompress").track_inprogress(), self._reader.room() as room:
            exchange_of(request.scope).vary = "Accept"
            media_type = choose(request.headers.getlist("accept"), list(OUTPUTS))
            if media_type is None:
                raise NotAcceptable(f"accept one of {', '.join(OUTPUTS)}")
            deadline = self._reader.deadline(request)
            _refuse_options(self._reader.query(request))
            self._admit(request, deadline)
            sent = await self._reader.read(request, deadline, room)
            _refuse_options(sent.options)
            pixels = await asyncio.to_thread(self._probe_restored, sent.data)
            options = RestoreOptions(output=OUTPUTS[media_type])
            result = await self._submit(request, sent, options, pixels)
        assert isinstance(result, RestoreResult)
        return Response(result.image, headers=_headers(result), media_type=result.media_type)

    def _options(self, text: Mapping[str, str]) -> CompressOptions:
        effort = str(min(DEFAULT_EFFORT, self._max_effort))  # who asks for none is not refused for it
        options = CompressOptions.parse({"effort": effort, **text})
        if options.effort > self._max_effort:
            raise BadOption(
                f"effort must be at most {self._max_effort} on this server, got {options.effort}",
                limit=self._max_effort,
                actual=options.effort,
            )
        if options.model is not None:
            self._catalogue.store.get(options.model)
        return options

    def _admit(self, request: Request, deadline: float) -> None:
        self._pool.admit(deadline)  # first: what the service itself refuses is nobody's quota
        if self._quotas is not None:
            self._quotas.take_request(exchange_of(request.scope).key)

    async def _submit(
        self, request: Request, sent: Sent, options: CompressOptions | RestoreOptions, pixels: int
    ) -> Result:
        exchange = exchange_of(request.scope)
        exchange.facts["pixels"] = pixels
        if self._quotas is not None:
            self._quotas.take_pixels(exchange.key, pixels)
        with self._catalogue.use(options.model) as model:
            job = Job(
                data=sent.data,
                options=replace(options, model=model.id),
                request_id=exchange.request_id,
                trace_id=exchange.trace_id,
                deadline=sent.deadline,
            )
            exchange.facts["model"] = model.id
            exchange.submitted_at = time.monotonic()
            try:
                result = await _while_connected(request, asyncio.create_task(self._pool.submit(job, pixels=pixels)))
            except VirtualCodecError as error:
                exchange.facts |= {"worker": error.worker} if error.worker else {}
                raise
        form = images.sniff(sent.data)
        self._metrics.observe_result(request.scope["route"].path, sent.data, form, result, exchange.key)
        exchange.job_stages_s = result.stages_s
        exchange.facts |= {
            "size": f"{result.width}x{result.height}",
            "scale": result.scale,
            "bpp": round(result.rate_bpp, 4),
            "model": result.model,
            **({"worker": result.worker} if result.worker else {}),
        }
        return result

    def _probe(self, image: bytes) -> int:
        width, height = images.probe(image, limits=self._limits)
        return width * height

    def _probe_restored(self, stream: bytes) -> int:
        found = images.sniff(stream)
        if found != "jpeg":
            raise UnsupportedFormat(f"only JPEGs can be restored; this is a {found.upper()} file")
        width, height = images.probe(stream, limits=self._limits)
        if (header := bitstream.find(stream, max_segments=self._limits.max_segments)) is not None:
            width = header.scale * (width - 1) + header.width_remainder
            height = header.scale * (height - 1) + header.height_remainder
            self._limits.check(width, height)
        return width * height


def _refuse_options(text: Mapping[str, str]) -> None:
    if text:
        raise BadOption(f"unknown option {next(iter(text))[:40]!r}; /decompress has none")


async def _while_connected(request: Request, task: asyncio.Task[Result]) -> Result:
    """The task's result. When the caller leaves first it is cancelled, and `ClientDisconnect` raised."""
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
        "Vcodec-Model": result.model,
        "Vcodec-Scale": str(result.scale),
        "Vcodec-Size": f"{result.width}x{result.height}",
        "Vcodec-Bpp": f"{result.rate_bpp:.4f}",
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages_ms.items()),
    }
