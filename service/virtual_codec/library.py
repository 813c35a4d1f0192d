"""Python interface: a codec in this process, for image files, PIL images and NumPy arrays.

import virtual_codec as vc

with vc.open() as codec:
    stream = codec.compress("photo.png", quality=30)
    stream.save("small.jpg")
    image = codec.restore("small.jpg")
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions, OutputFormat, RestoreOptions
from virtual_codec.sources import file_bytes, image_file
from virtual_codec.stream import Stream

if TYPE_CHECKING:
    from PIL.Image import Image

    from virtual_codec.codec import VirtualCodec
    from virtual_codec.sources import FileSource, ImageSource


@final
class Codec:
    """Compressor and restorer in this process, made by `open`. It may be used from several threads."""

    def __init__(self, codec: VirtualCodec) -> None:
        self._codec = codec

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def compress(self, image: ImageSource, **options: Any) -> Stream:
        """Compress an image: a path, the bytes of a file, a PIL image, or a uint8 array [H, W] or [H, W, 3 or 4].

        `options` are those of `virtual_codec.jobs.CompressOptions`, such as quality=30 or max_bytes=20_000. Raises
        `BadOption`, `BadInput`, `TypeError` for another kind of image, and `OSError` for an unreadable file.
        """
        return Stream(self._codec.compress(image_file(image), CompressOptions.of(options)))

    def restore(self, stream: FileSource | Stream, *, model: str | None = None) -> Image:
        """Restore a stream, or any other JPEG, WebP, AVIF or JPEG 2000, to a PIL image (RGB or L).

        `model`, a name or id, is used for files that name no model.
        """
        from PIL import Image

        image = Image.open(io.BytesIO(self.restore_bytes(stream, output="bmp", model=model)))
        image.load()
        return image

    def restore_bytes(
        self, stream: FileSource | Stream, *, output: OutputFormat = "png", model: str | None = None
    ) -> bytes:
        """Restore a stream as `restore` does, to the bytes of an image file: png, webp (lossless) or bmp."""
        if output not in ("png", "webp", "bmp"):
            raise BadOption(f"output must be png, webp or bmp, got {output!r}")
        data = bytes(stream) if isinstance(stream, Stream) else file_bytes(stream)
        return self._codec.restore(data, RestoreOptions(output=output, model=model)).image

    def close(self) -> None:
        """End the codec's threads."""
        self._codec.close()


def open(  # noqa: A001  # called as virtual_codec.open, as PIL's Image.open is
    model: str | None = None, *, device: str | None = None, model_store: str | os.PathLike[str] | None = None
) -> Codec:
    """Open a codec and warm it up.

    `model` is a name or id (None: the store's default), `device` cpu, cuda or cuda:N (None: CUDA if there is one),
    `model_store` the folder of the models (None: the bundled store). Raises `ModelNotFound` and `BadModel`.
    """
    import torch

    from virtual_codec.codec import open_codec
    from virtual_codec.store import default_model_store

    store = default_model_store() if model_store is None else Path(model_store)
    return Codec(open_codec(store, device=device or ("cuda" if torch.cuda.is_available() else "cpu"), model=model))
