"""Opening of the command line's codec in this process, on a chosen device."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_codec import interrupts
from virtual_codec.cli._image_codec import CodecConfig, ImageCodec, OpenCodec
from virtual_codec.cli._verb import Misuse

if TYPE_CHECKING:
    from virtual_codec.jobs import CompressOptions
    from virtual_codec.local_settings import LocalSettings
    from virtual_codec.settings import Settings


def open_default_codec(config: CodecConfig) -> ImageCodec:
    """Open a `VirtualCodec` within the limits of the settings.

    Raises `ModelNotFound`, `BadOption` and `Misuse` for options that are invalid for every image, before PyTorch is
    loaded. Raises `Misuse` for an unknown device.
    """
    settings = load_local_settings()
    root = check_store(config.model_store or settings.model_store)
    if config.options is not None:
        _check_options(root, config.options)

    device = check_device(config.device or first_device())

    from virtual_codec.codec import open_codec

    return open_codec(root, device=device, limits=settings.image_limits)


@contextmanager
def opened_codec(open_codec: OpenCodec, config: CodecConfig) -> Iterator[ImageCodec]:
    """Open a codec for a block, in which Ctrl-C raises `KeyboardInterrupt` for an orderly end of the work."""
    with closing(open_codec(config)) as codec:
        interrupts.raise_keyboard_interrupt()
        yield codec


def add_codec_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the model store and the device."""
    add_device_argument(parser)
    add_store_argument(parser)


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option for the device of the networks."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="cpu, cuda or cuda:N (default: VCODEC_DEVICES, otherwise cuda if available, else cpu)",
    )


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option for the model store."""
    parser.add_argument(
        "--model-store",
        type=Path,
        metavar="DIR",
        help="folder of the models (default: VCODEC_MODEL_STORE, or the bundled store)",
    )


def default_store_root() -> Path:
    """Model store that the settings name."""
    return load_local_settings().model_store


def check_store(root: Path) -> Path:
    """Check that a model store's folder exists, and return it. Raises `Misuse` if it does not."""
    if not root.is_dir():
        raise Misuse(f"there is no model store at {root}; set VCODEC_MODEL_STORE to its folder")
    return root


def load_settings(**given: object) -> Settings:
    """Settings of the environment, overridden by `given`. Raises `Misuse` with a line for each wrong variable."""
    from virtual_codec.settings import Settings

    try:
        return Settings.load(**given)
    except ValueError as error:
        raise _misuse(error) from error


def load_local_settings() -> LocalSettings:
    """Settings of a command without a server. Raises `Misuse` as `load_settings` does."""
    from virtual_codec.local_settings import LocalSettings

    try:
        return LocalSettings.load()
    except ValueError as error:
        raise _misuse(error) from error


def check_device(name: str) -> str:
    """Check that networks can run on a device here, and return its name. Raises `Misuse` with the reason if not."""
    import torch

    try:
        torch.device(name)
    except RuntimeError as error:  # PyTorch's message lists devices of other builds, not those of this machine
        raise Misuse(f"no device {name!r}; give cpu, cuda or cuda:N") from error
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises each, by backend
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise Misuse(f"no device {name!r} here; give cpu, cuda or cuda:N ({reason})") from error
    return name


def first_device() -> str:
    """First device of the settings, or the best of this machine."""
    devices = load_local_settings().devices
    if devices != "auto":
        return devices.partition(",")[0].strip()
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _check_options(root: Path, options: CompressOptions) -> None:
    from virtual_codec.codecs import QUALITY_CODECS
    from virtual_codec.images import check_codec
    from virtual_codec.store import ModelStore, check_compresses

    check_codec(options.codec)
    codec = QUALITY_CODECS.get(options.codec)
    if codec is not None and not codec.is_available:
        raise Misuse(f"this machine's Pillow was built without {codec.title}; use another codec")
    store = ModelStore(root, tolerant=True)
    model = store.default_of(options.codec) if options.model is None else store.get(options.model)
    check_compresses(model, options.codec, options.scale)


def _misuse(error: ValueError) -> Misuse:
    first, *others = str(error).splitlines()
    return Misuse("\n  ".join(["several settings are wrong:", first, *others] if others else [first]))
