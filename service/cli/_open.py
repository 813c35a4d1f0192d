"""The codec that the command line works with: in this process, on the device of its choice."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.jobs import CompressOptions, CompressResult, RestoreOptions, RestoreResult


class Codec(Protocol):
    """What the commands ask of `service.codec.VirtualCodec`; several threads may ask at once."""

    def compress(self, data: bytes, options: CompressOptions = ...) -> CompressResult:
        """Image bytes to a stream."""

    def restore(self, data: bytes, options: RestoreOptions = ...) -> RestoreResult:
        """A stream to image bytes."""


@dataclass(frozen=True, kw_only=True)
class CodecWish:
    """Which codec to open. None leaves store and device to the settings, and the model to the store."""

    model_store: Path | None = None
    device: str | None = None
    model: str | None = None


OpenCodec = Callable[[CodecWish], Codec]


def open_default_codec(wish: CodecWish) -> Codec:
    """The real one. Raises `ModelNotFound` before anything heavy is loaded."""
    from service.settings import Settings
    from service.store import ModelStore

    root = wish.model_store or Settings().model_store
    if wish.model is not None:
        ModelStore(root).get(wish.model)

    from service.codec import open_codec

    return open_codec(root, wish.device or _best_device())


def add_codec_arguments(parser: argparse.ArgumentParser) -> None:
    """Where models come from and where they run."""
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda or cuda:N (default: cuda where there is one)"
    )
    add_store_argument(parser)


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Where models come from."""
    parser.add_argument(
        "--model-store",
        type=Path,
        metavar="DIR",
        help="default: VCODEC_MODEL_STORE, or the model store that came along",
    )


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
