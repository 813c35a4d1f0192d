"""Inspection of a stream without decoding it: its model, scale, sizes and JPEG parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_codec.sources import file_bytes

if TYPE_CHECKING:
    from virtual_codec.sources import FileSource


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """Facts about an image file.

    `width` and `height` are those of the picture that a viewer shows, `restored_width` and `restored_height` those of
    the restored image. `model`, `scale` and `shows_decoded` (post-processing is left out) are those of a stream of this
    project, None for other files. `process`, `scans`, `sampling` ("4:2:0") and `mean_steps` (mean of each component's
    quantisation table) are those of a JPEG, None for other formats. `rate_bpp` is bits per pixel of the restored image.
    """

    format: str
    size_bytes: int
    width: int
    height: int
    restored_width: int
    restored_height: int
    rate_bpp: float
    model: str | None = None
    scale: int | None = None
    shows_decoded: bool | None = None
    process: str | None = None
    scans: int | None = None
    sampling: str | None = None
    mean_steps: tuple[float, ...] | None = None


def info(source: FileSource) -> StreamInfo:
    """Inspect an image file, given by its path or its bytes. Raises `BadInput` for a damaged or unknown file."""
    from virtual_codec import bitstream, images

    data = file_bytes(source)
    kind = images.sniff(data)
    if kind != "jpeg":
        width, height = images.probe(data)
        codec = next((name for name in bitstream.CODEC_NAMES if name == kind), None)
        attached = bitstream.find_attached(data, codec) if codec is not None else None
        return StreamInfo(
            format=kind,
            size_bytes=len(data),
            width=width,
            height=height,
            restored_width=width,
            restored_height=height,
            rate_bpp=8 * len(data) / (width * height),
            model=None if attached is None else attached.model,
            scale=None if attached is None else attached.scale,
            shows_decoded=None if attached is None else attached.show_decoded,
        )
    header = bitstream.find(data)
    layout = bitstream.layout(data)
    width, height = restored = layout.width, layout.height
    if header is not None:
        restored = (
            header.scale * (width - 1) + header.width_remainder,
            header.scale * (height - 1) + header.height_remainder,
        )
    return StreamInfo(
        format=kind,
        size_bytes=len(data),
        width=width,
        height=height,
        restored_width=restored[0],
        restored_height=restored[1],
        rate_bpp=8 * len(data) / (restored[0] * restored[1]),
        model=None if header is None else header.model,
        scale=None if header is None else header.scale,
        shows_decoded=None if header is None else header.show_decoded,
        process=layout.process,
        scans=layout.scans,
        sampling=_sampling(layout.sampling),
        mean_steps=tuple(round(float(table.mean()), 2) for table in layout.tables),
    )


def _sampling(factors: tuple[tuple[int, int], ...]) -> str:
    """Name of the chroma subsampling, such as 4:2:0. Grey pictures have none; rare ones are named by their factors."""
    if len(factors) == 1:
        return "grey"
    names = {(2, 2): "4:2:0", (2, 1): "4:2:2", (1, 1): "4:4:4", (1, 2): "4:4:0", (4, 1): "4:1:1"}
    name = names.get(factors[0]) if all(each == (1, 1) for each in factors[1:]) else None
    return name or " ".join(f"{horizontal}x{vertical}" for horizontal, vertical in factors)
