"""Interface between the verbs and the codec that images go through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from virtual_codec.jobs import CompressOptions, CompressResult, RestoreOptions, RestoreResult


class ImageCodec(Protocol):
    """Compressor and restorer of whole files, as `virtual_codec.codec.VirtualCodec` is; safe for several threads."""

    def compress(self, data: bytes, options: CompressOptions = ...) -> CompressResult:
        """Compress an image file to a stream. Raises `virtual_codec.errors.BadInput` for an input that has none."""

    def restore(self, data: bytes, options: RestoreOptions = ...) -> RestoreResult:
        """Restore a stream to an image file. Raises as `compress` does."""

    def close(self) -> None:
        """End the codec's threads, after the tiles that run."""


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """Configuration of the codec to open.

    None leaves `model_store` and `device` to the settings. `options` are those of the streams to be made, or None if
    none are.
    """

    model_store: Path | None = None
    device: str | None = None
    options: CompressOptions | None = None


OpenCodec = Callable[[CodecConfig], ImageCodec]
