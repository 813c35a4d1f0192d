"""Client for threads."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
class Client:
    """Client of one server; it keeps connections open, and may be used from several threads.

    `timeout_s` bounds each call, including retries; the remaining time is sent to the server (`Request-Timeout-Ms`).
    `transport` replaces the connections, for custom certificates or proxies. Calls raise `BadInput` and the other
    errors that the service answers with, `ServerUnreachable`, `DeadlineExceeded`, and `OSError` for an unreadable file.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        retry: RetryPolicy | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        connection = Connection(url=url, api_key=api_key)
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._http = httpx2.Client(
            base_url=connection.url, headers=connection.headers, limits=LIMITS, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def compress(self, image: ImageSource, *, timeout_s: float | None = None, **options: Any) -> Stream:
        """Compress an image as `Codec.compress` does. A file given by its path is sent from disk in pieces."""
        call = compress_call(image, options)
        return Stream(_answers.compressed(self._exchange(call, _read_answer, timeout_s)))

    def restore(self, stream: FileSource | Stream, *, timeout_s: float | None = None) -> Image:
        """Restore a stream, or any other JPEG, to a PIL image (RGB or L)."""
        from PIL import Image

        image = Image.open(io.BytesIO(self.restore_bytes(stream, timeout_s=timeout_s)))
        image.load()
        return image

    def restore_bytes(
        self, stream: FileSource | Stream, *, output: OutputFormat = "png", timeout_s: float | None = None
    ) -> bytes:
        """Restore a stream, or any other JPEG, to the bytes of an image file: png, webp (lossless) or bmp."""
        return self.restore_result(stream, output=output, timeout_s=timeout_s).image

    def restore_result(
        self, stream: FileSource | Stream, *, output: OutputFormat = "png", timeout_s: float | None = None
    ) -> RestoreResult:
        """Restore as `restore_bytes` does, with the model, scale, size and rate of the stream."""
        return _answers.restored(self._exchange(restore_call(stream, output), _read_answer, timeout_s))

    def restore_to(
        self,
        path: str | os.PathLike[str],
        stream: FileSource | Stream,
        *,
        output: OutputFormat = "png",
        timeout_s: float | None = None,
    ) -> None:
        """Restore a stream, or any other JPEG, to a file, replacing one that exists. The answer is never held whole."""

        def save(response: httpx2.Response, attempts: Attempts) -> None:
            with replacing(path) as file:
                for piece in response.iter_bytes(PIECE_BYTES):
                    attempts.remaining_s()
                    file.write(piece)

        self._exchange(restore_call(stream, output), save, timeout_s)

    def info(self, source: FileSource) -> StreamInfo:
        """Inspect an image file, here and not on the server, as `virtual_codec.info` does."""
        return info(source)

    def models(self) -> list[ModelInfo]:
        """Models of the server."""
        return _answers.models(self._exchange(models_call(), _read_answer, None))

    def model(self, name_or_id: str) -> ModelInfo:
        """Model of that name or id. Raises `ModelNotFound`."""
        return _answers.model(self._exchange(model_call(name_or_id), _read_answer, None))

    def is_ready(self) -> bool:
        """True if the server is ready. It is asked once, without retries."""
        try:
            self._exchange(ready_call(), _read_answer, None, retry=_NO_RETRIES)
        except Unavailable:
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _exchange(
        self,
        call: Call,
        take: Callable[[httpx2.Response, Attempts], ResultT],
        timeout_s: float | None,
        *,
        retry: RetryPolicy | None = None,
    ) -> ResultT:
        """Send a call until it succeeds or is given up, and take what its answer holds."""
        attempts = Attempts(retry or self._retry, self._timeout_s if timeout_s is None else timeout_s)
        while True:
            try:
                return self._attempt(call, take, attempts)
            except VirtualCodecError as error:
                wait_s = attempts.wait_s(error)
            time.sleep(wait_s)

    def _attempt(self, call: Call, take: Callable[[httpx2.Response, Attempts], ResultT], attempts: Attempts) -> ResultT:
        headers, timeout = head_of(call, attempts)
        with _opened(call.body) as body, connection_errors(attempts.timeout_s):
            request = self._http.build_request(
                call.method, call.path, params=call.query, headers=headers, content=body, timeout=timeout
            )
            response = self._http.send(request, stream=True)
            try:
                if response.status_code != httpx2.codes.OK:
                    raise error_of(response.status_code, response.headers, _read_problem(response))
                return take(response, attempts)
            finally:
                response.close()


def _opened(body: bytes | Path | None) -> AbstractContextManager[BinaryIO | bytes | None]:
    """Context of the content that httpx2 sends: bytes, or a file whose size it declares."""
    return body.open("rb") if isinstance(body, Path) else nullcontext(body)


def _read_answer(response: httpx2.Response, attempts: Attempts) -> Answer:
    pieces = []
    for piece in response.iter_bytes():
        attempts.remaining_s()
        pieces.append(piece)
    return Answer(headers=response.headers, body=b"".join(pieces))


def _read_problem(response: httpx2.Response) -> bytes:
    pieces = b""
    for piece in response.iter_bytes():
        pieces += piece
        if len(pieces) > MAX_PROBLEM_BYTES:
            break
    return pieces
