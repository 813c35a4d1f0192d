"""Client for asyncio."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, final

import httpx2

from virtual_codec.client import _answers
from virtual_codec.client._answers import Answer, ModelInfo
from virtual_codec.client._calls import Call, compress_call, model_call, models_call, ready_call, restore_call
from virtual_codec.client._connection import LIMITS, PIECE_BYTES, Connection, head_of
from virtual_codec.client._problems import MAX_PROBLEM_BYTES, connection_errors, error_of
from virtual_codec.client._retries import Attempts, RetryPolicy
from virtual_codec.errors import Unavailable, VirtualCodecError
from virtual_codec.inspection import StreamInfo, info
from virtual_codec.jobs import OutputFormat, RestoreResult
from virtual_codec.stream import Stream, replacing

if TYPE_CHECKING:
    from PIL.Image import Image

    from virtual_codec.sources import FileSource, ImageSource

ResultT = TypeVar("ResultT")
_NO_RETRIES = RetryPolicy(retries=0)


@final
class AsyncClient:
    """Client of one server for asyncio: the verbs, arguments and errors of `Client`, to be awaited.

    Files are read and written, and images converted, in threads.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        retry: RetryPolicy | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        connection = Connection(url=url, api_key=api_key)
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._http = httpx2.AsyncClient(
            base_url=connection.url, headers=connection.headers, limits=LIMITS, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def compress(self, image: ImageSource, *, timeout_s: float | None = None, **options: Any) -> Stream:
        """Compress an image as `Codec.compress` does. A file given by its path is sent from disk in pieces."""
        call = await asyncio.to_thread(compress_call, image, options)
        return Stream(_answers.compressed(await self._exchange(call, _read_answer, timeout_s)))

    async def restore(self, stream: FileSource | Stream, *, timeout_s: float | None = None) -> Image:
        """Restore a stream, or any other JPEG, to a PIL image (RGB or L)."""
        return await asyncio.to_thread(_load_image, await self.restore_bytes(stream, timeout_s=timeout_s))

    async def restore_bytes(
        self, stream: FileSource | Stream, *, output: OutputFormat = "png", timeout_s: float | None = None
    ) -> bytes:
        """Restore a stream, or any other JPEG, to the bytes of an image file: png, webp (lossless) or bmp."""
        return (await self.restore_result(stream, output=output, timeout_s=timeout_s)).image

    async def restore_result(
        self, stream: FileSource | Stream, *, output: OutputFormat = "png", timeout_s: float | None = None
    ) -> RestoreResult:
        """Restore as `restore_bytes` does, with the model, scale, size and rate of the stream."""
        return _answers.restored(await self._exchange(restore_call(stream, output), _read_answer, timeout_s))

    async def restore_to(
        self,
        path: str | os.PathLike[str],
        stream: FileSource | Stream,
        *,
        output: OutputFormat = "png",
        timeout_s: float | None = None,
    ) -> None:
        """Restore a stream, or any other JPEG, to a file, replacing one that exists. The answer is never held whole."""

        async def save(response: httpx2.Response, attempts: Attempts) -> None:
            with replacing(path) as file:
                async for piece in response.aiter_bytes(PIECE_BYTES):
                    attempts.remaining_s()
                    await asyncio.to_thread(file.write, piece)

        await self._exchange(restore_call(stream, output), save, timeout_s)

    async def info(self, source: FileSource) -> StreamInfo:
        """Inspect an image file, here and not on the server, as `virtual_codec.info` does."""
        return await asyncio.to_thread(info, source)

    async def models(self) -> list[ModelInfo]:
        """Models of the server."""
        return _answers.models(await self._exchange(models_call(), _read_answer, None))

    async def model(self, name_or_id: str) -> ModelInfo:
        """Model of that name or id. Raises `ModelNotFound`."""
        return _answers.model(await self._exchange(model_call(name_or_id), _read_answer, None))

    async def is_ready(self) -> bool:
        """True if the server is ready. It is asked once, without retries."""
        try:
            await self._exchange(ready_call(), _read_answer, None, retry=_NO_RETRIES)
        except Unavailable:
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _exchange(
        self,
        call: Call,
        take: Callable[[httpx2.Response, Attempts], Awaitable[ResultT]],
        timeout_s: float | None,
        *,
        retry: RetryPolicy | None = None,
    ) -> ResultT:
        """Send a call until it succeeds or is given up, and take what its answer holds."""
        attempts = Attempts(retry or self._retry, self._timeout_s if timeout_s is None else timeout_s)
        while True:
            try:
                return await self._attempt(call, take, attempts)
            except VirtualCodecError as error:
                wait_s = attempts.wait_s(error)
            await asyncio.sleep(wait_s)

    async def _attempt(
        self, call: Call, take: Callable[[httpx2.Response, Attempts], Awaitable[ResultT]], attempts: Attempts
    ) -> ResultT:
        headers, timeout = head_of(call, attempts)
        content: AsyncIterator[bytes] | bytes | None
        if isinstance(call.body, Path):
            file = await asyncio.to_thread(call.body.open, "rb")
            headers["Content-Length"] = str(os.fstat(file.fileno()).st_size)
            content = _file_pieces(file)
        else:
            file, content = None, call.body
        try:
            with connection_errors(attempts.timeout_s):
                request = self._http.build_request(
                    call.method, call.path, params=call.query, headers=headers, content=content, timeout=timeout
                )
                response = await self._http.send(request, stream=True)
                try:
                    if response.status_code != httpx2.codes.OK:
                        raise error_of(response.status_code, response.headers, await _read_problem(response))
                    return await take(response, attempts)
                finally:
                    await response.aclose()
        finally:
            if file is not None:
                file.close()


async def _file_pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


async def _read_answer(response: httpx2.Response, attempts: Attempts) -> Answer:
    pieces = []
    async for piece in response.aiter_bytes():
        attempts.remaining_s()
        pieces.append(piece)
    return Answer(headers=response.headers, body=b"".join(pieces))


async def _read_problem(response: httpx2.Response) -> bytes:
    pieces = b""
    async for piece in response.aiter_bytes():
        pieces += piece
        if len(pieces) > MAX_PROBLEM_BYTES:
            break
    return pieces


def _load_image(content: bytes) -> Image:
    from PIL import Image

    image = Image.open(io.BytesIO(content))
    image.load()
    return image
