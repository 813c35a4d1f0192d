"""Compressed image as the Python interface returns it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, final

from virtual_codec.jobs import CompressResult, LeftOut


@final
class Stream:
    """Compressed image: a standard file that any viewer opens, and that `Codec.restore` restores."""

    def __init__(self, result: CompressResult) -> None:
        self._result = result

    def __bytes__(self) -> bytes:
        return self._result.stream

    def __len__(self) -> int:
        """Size of the stream in bytes."""
        return len(self._result.stream)

    def __repr__(self) -> str:
        width, height = self.size
        return f"<Stream {width}x{height}, {len(self)} bytes, {self.rate_bpp:.3f} bpp, model {self.model}>"

    @property
    def result(self) -> CompressResult:
        """Compression result with all of these values, as a dataclass."""
        return self._result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the stream to a file, replacing one that exists. The file appears whole or not at all."""
        with replacing(path) as file:
            file.write(self._result.stream)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the image that was compressed, which the restored image has again."""
        return self._result.width, self._result.height

    @property
    def rate_bpp(self) -> float:
        """Stream bits per pixel of the image."""
        return self._result.rate_bpp

    @property
    def psnr_db(self) -> float | None:
        """PSNR of the restored image (RGB, dB) as the encoder measured it; None if a server did not say."""
        return self._result.psnr_db

    @property
    def ms_ssim(self) -> float | None:
        """MS-SSIM of the restored image (0-1), measured for the option `min_ms_ssim`; otherwise None."""
        return self._result.ms_ssim

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Kinds of the image's metadata that the options left out, and "transparency" if it was flattened."""
        return self._result.left_out

    @property
    def quality(self) -> int:
        """Quality that was used, 1-100."""
        return self._result.quality

    @property
    def scale(self) -> int:
        """Ratio of the image's side to that of the picture in the stream: 1 or 2."""
        return self._result.scale

    @property
    def model(self) -> str:
        """Id of the model, 8 hex digits."""
        return self._result.model

    @property
    def media_type(self) -> str:
        """Media type of the stream: image/jpeg, or that of another `codec`."""
        return self._result.media_type


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """File that takes the place of `path` when the block ends, and is deleted if the block raises.

    A device or a pipe, such as /dev/null, is written to and never replaced.
    """
    target = Path(path)
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("wb") as file:
            yield file
        return
    part = target.with_name(f".vcodec-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
