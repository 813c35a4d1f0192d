"""Pictures of the comparison, as requests that all servers accept."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from virtual_codec.load_test import MIXED, Request, parse_sizes, synthetic_png

_BOUNDARY = "benchmark-7f3a"
_PER_SIZE = 4  # several pictures, so that no server can answer from a cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Material:
    """Pictures of one kind: files, and requests with these files."""

    contents: Sequence[bytes]
    requests: Sequence[Request]


def pictures(sizes: str, folder: Path | None) -> list[tuple[str, bytes, int]]:
    """Label, PNG and number of pixels of each picture: crops of the images in `folder`, or synthetic."""
    found = []
    for seed in range(_PER_SIZE):
        for width, height in parse_sizes(sizes):
            png = synthetic_png(width, height, seed=seed) if folder is None else _crop(folder, width, height, seed)
            found.append((f"{width}x{height}", png, width * height))
    return found


def material(pictured: Sequence[tuple[str, bytes, int]], task: str) -> Material:
    """Files as multipart requests with one part `file`, which all servers accept."""
    return Material(
        contents=[content for _, content, _ in pictured],
        requests=[request_of(content, task, label, pixels) for label, content, pixels in pictured],
    )


def request_of(content: bytes, task: str, label: str, pixels: int = 0) -> Request:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return Request(
        path=f"/{task}",
        content=head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode(),
        content_type=f"multipart/form-data; boundary={_BOUNDARY}",
        label=label,
        pixels=pixels,
    )


def _crop(folder: Path, width: int, height: int, number: int) -> bytes:
    from PIL import Image, ImageOps

    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".png", ".jpg", ".webp", ".bmp"))
    with Image.open(files[number % len(files)]) as image:
        crop = ImageOps.fit(image.convert("RGB"), (width, height))
    png = io.BytesIO()
    crop.save(png, "PNG")
    return png.getvalue()


__all__ = ["MIXED", "Material", "material", "pictures", "request_of"]
