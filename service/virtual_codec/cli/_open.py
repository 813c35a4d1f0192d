"""The codec that the command line works with: in this process, on the device of its choice."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from virtual_codec import interrupts
from virtual_codec.cli._verb import Misuse
from virtual_codec.jobs import CompressOptions, CompressResult, RestoreOptions, RestoreResult

if TYPE_CHECKING:
    from virtual_codec.settings import Settings


class Codec(Protocol):
    """What the commands ask of `virtual_codec.codec.VirtualCodec`; several threads may ask at once."""

    def compress(self, data: bytes, options: CompressOptions = ...) -> CompressResult:
        """Image bytes to a stream."""

    def restore(self, data: bytes, options: RestoreOptions = ...) -> RestoreResult:
        """A stream to image bytes."""

    def close(self) -> None:
        """End its threads, after the tiles that run."""


@dataclass(frozen=True, kw_only=True)
class CodecWish:
    """Which codec to open. None leaves store and device to the settings, and the model to the store.

    `codec` is the standard codec that it is to write.
    """

    model_store: Path | None = None
    device: str | None = None
    model: str | None = None
    codec: str = "jpeg"


OpenCodec = Callable[[CodecWish], Codec]


def open_default_codec(wish: CodecWish) -> Codec:
    """The real one, within the settings' limits.

    Raises `ModelNotFound` before anything heavy is loaded, and `Misuse` for a codec or device there is none of.
    """
    from virtual_codec.store import ModelStore

    settings = load_settings()
    root = check_store(wish.model_store or settings.model_store)
    if wish.model is not None:
        ModelStore(root).get(wish.model)

    device = check_device(wish.device or first_device())

    from virtual_codec.codec import open_codec
    from virtual_codec.codecs import CODECS

    if wish.codec not in CODECS:
        raise Misuse(f"codec must be one of {', '.join(sorted(CODECS))}, got {wish.codec!r}")
    limits = settings.image_limits
    return open_codec(root, device=device, limits=limits)


@contextmanager
def opened(open_codec: OpenCodec, wish: CodecWish) -> Iterator[Codec]:
    """The codec for the time of a block, in which Ctrl-C is a `KeyboardInterrupt` that ends the work in order."""
    with closing(open_codec(wish)) as codec:
        interrupts.raise_keyboard_interrupt()
        yield codec


def add_codec_arguments(parser: argparse.ArgumentParser) -> None:
    """Where models come from and where they run."""
    add_device_argument(parser)
    add_store_argument(parser)


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Where networks run."""
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda or cuda:N (default: VCODEC_DEVICES, or what there is)"
    )


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Where models come from."""
    parser.add_argument(
        "--model-store",
        type=Path,
        metavar="DIR",
        help="default: VCODEC_MODEL_STORE, or the model store that came along",
    )


def default_store_root() -> Path:
    """The model store of the settings."""
    return load_settings().model_store


def check_store(root: Path) -> Path:
    """That folder, if it is one. Raises `Misuse` that says how to name another."""
    if not root.is_dir():
        raise Misuse(f"there is no model store at {root}; name its folder by VCODEC_MODEL_STORE")
    return root


def load_settings(**given: object) -> Settings:
    """The settings, `given` before the environment. Raises `Misuse` with a line for each wrong variable."""
    from virtual_codec.settings import Settings

    try:
        return Settings.load(**given)
    except ValueError as error:
        first, *others = str(error).splitlines()
        raise Misuse("\n  ".join(["several settings are wrong:", first, *others] if others else [first])) from error


def check_device(name: str) -> str:
    """That device, if networks can run on it here. Raises `Misuse` that says why not."""
    import torch

    try:
        torch.device(name)
    except RuntimeError as error:  # which lists what PyTorch can be built for, not what is here
        raise Misuse(f"no device {name!r}; give cpu, cuda or cuda:N") from error
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises each, by backend
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise Misuse(f"no device {name!r} here; give cpu, cuda or cuda:N ({reason})") from error
    return name


def first_device() -> str:
    """The first device of the settings, or of this machine."""
    devices = load_settings().devices
    if devices != "auto":
        return devices.partition(",")[0].strip()
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
