"""Image compression that stays inside a standard codec.

    image -> description -> stream -> decoded -> restored

A description network makes a small picture of the image, and an ordinary JPEG encoder codes it. After an ordinary JPEG
decoder, a post-processing network restores the image. (Zhao, Bai, Wang, Zhao, "Learning a Virtual Codec Based on Deep
Convolutional Neural Network to Compress Image", arXiv 1712.05969.)

The Python interface is `open`, which returns a `Codec` in this process (see `virtual_codec.library`), `Client` and
`AsyncClient` for a server (see `virtual_codec.client`), and `info` and `compare`. Errors are in `virtual_codec.errors`.
Importing this package is fast and never loads torch. Names are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from virtual_codec import errors
    from virtual_codec.client import AsyncClient, Client, ModelInfo
    from virtual_codec.comparison import Comparison, compare
    from virtual_codec.inspection import StreamInfo, info
    from virtual_codec.library import Codec, open  # noqa: A004
    from virtual_codec.stream import Stream

__all__ = [
    "AsyncClient",
    "Client",
    "Codec",
    "Comparison",
    "ModelInfo",
    "Stream",
    "StreamInfo",
    "__version__",
    "compare",
    "errors",
    "info",
    "open",
]

__version__ = "0.1.0"

_MODULES = {
    "Codec": "library",
    "Stream": "stream",
    "open": "library",
    "StreamInfo": "inspection",
    "info": "inspection",
    "Comparison": "comparison",
    "compare": "comparison",
    "AsyncClient": "client",
    "Client": "client",
    "ModelInfo": "client",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return importlib.import_module(f"{__name__}.errors")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
