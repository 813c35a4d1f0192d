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
import secrets
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, final

from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions, CompressResult, OutputFormat, RestoreOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from virtual_codec.codec import VirtualCodec

    FileSource = str | os.PathLike[str] | bytes | bytearray | memoryview
    ImageSource = FileSource | Image | NDArray[np.uint8]

# Modes that a PNG holds as they are; others are converted to RGB.
_PNG_MODES: Final = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


@final
class Stream:
    """Compressed image: a standard JPEG that any viewer opens, and that `Codec.restore` restores."""

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the stream to a file, replacing one that exists. The file appears whole or not at all."""
        target = Path(path)
        part = target.with_name(f".vcodec-{secrets.token_hex(8)}.part")
        try:
            part.write_bytes(self._result.stream)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

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
        """PSNR of the restored image (RGB, dB) as the encoder measured it; None if it was not measured."""
        return self._result.psnr_db

    @property
    def ms_ssim(self) -> float | None:
        """MS-SSIM of the restored image (0-1), measured for the option `min_ms_ssim`; otherwise None."""
        return self._result.ms_ssim

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
        """Media type of the stream: image/jpeg."""
        return self._result.media_type


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
        return Stream(self._codec.compress(_image_file(image), _options(options)))

    def restore(self, stream: FileSource | Stream, *, model: str | None = None) -> Image:
        """Restore a stream, or any other JPEG, to a PIL image (RGB or L). `model` is for JPEGs without one."""
        from PIL import Image

        image = Image.open(io.BytesIO(self.restore_bytes(stream, output="bmp", model=model)))
        image.load()
        return image

    def restore_bytes(
        self, stream: FileSource | Stream, *, output: OutputFormat = "png", model: str | None = None
    ) -> bytes:
        """Restore a stream, or any other JPEG, to the bytes of an image file: png, webp (lossless) or bmp."""
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


def file_bytes(source: FileSource) -> bytes:
    """Content of a file that is given by its path or by its bytes. Raises `TypeError` for anything else."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    raise TypeError(f"give a path or the bytes of a file, not {type(source).__name__}")


def _image_file(image: ImageSource) -> bytes:
    """Image file with the content of any kind of image that is taken."""
    import numpy as np
    from PIL import Image

    if isinstance(image, str | os.PathLike | bytes | bytearray | memoryview):
        return file_bytes(image)
    if isinstance(image, np.ndarray):
        is_shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        if image.dtype != np.uint8 or not is_shaped or image.size == 0:
            raise TypeError(
                f"an array must be uint8 and [H, W], [H, W, 3] or [H, W, 4], got {image.dtype} {list(image.shape)}"
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise TypeError(f"give a path, the bytes of a file, a PIL image or a uint8 array, not {type(image).__name__}")
    if image.mode not in _PNG_MODES:
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
    return file.getvalue()


def _options(given: dict[str, Any]) -> CompressOptions:
    known = [item.name for item in fields(CompressOptions)]
    if unknown := sorted(set(given) - set(known)):
        raise BadOption(f"unknown option {unknown[0]!r}; the options are {', '.join(known)}")
    values = {name: value for name, value in given.items() if not (name == "scale" and value == "auto")}
    if isinstance(values.get("background"), str):
        values["background"] = CompressOptions.parse({"background": values["background"]}).background
    try:
        return CompressOptions(**values)
    except TypeError as error:  # a comparison with a value of another type
        raise BadOption(f"an option has a value of a wrong type: {given}") from error
