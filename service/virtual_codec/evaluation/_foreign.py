"""Restoring of foreign JPEGs: gain at each quality, in colour and in grey."""

from __future__ import annotations

import io
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from virtual_codec import images
from virtual_codec.cancellable_threads import cancellable_threads
from virtual_codec.evaluation._sweep import TestedCodec
from virtual_codec.evaluation.pictures import Picture
from virtual_codec.evaluation.points import Similarity, similarity
from virtual_codec.metrics import Pixels


@dataclass(frozen=True, kw_only=True)
class ForeignPoint:
    """Row of foreign.csv: similarity of an ordinary JPEG and of its restored picture to the original.

    `kind` is a key of `KINDS`. For grey pictures `psnr_rgb` is the PSNR of their one channel. `model` is empty in files
    of earlier versions.
    """

    set: str
    image: str
    kind: str
    quality: int
    bytes: int
    jpeg_psnr_rgb: float
    psnr_rgb: float
    jpeg_psnr_y: float
    psnr_y: float
    jpeg_ssim: float | None
    ssim: float | None
    jpeg_ms_ssim: float | None
    ms_ssim: float | None
    restore_s: float
    model: str


@dataclass(frozen=True, kw_only=True)
class ForeignRow:
    """Means of a set at one quality, PSNR in dB. `worse` is the share of images with a lower PSNR, 0 to 1."""

    set: str
    kind: str
    quality: int
    images: int
    jpeg_psnr_rgb: float
    psnr_rgb: float
    jpeg_psnr_y: float
    psnr_y: float
    worst_gain: float
    worse: float


FOREIGN_COLUMNS: Final = tuple(ForeignPoint.__annotations__)

KINDS: Final = {
    "colour": "colour, 4:2:0",
    "colour444": "colour, 4:4:4",
    "grey": "grey",  # luma of colour pictures from 16 to 235, as in published tables of grey LIVE1
    "luma": "luma, full range",  # the usual grey JPEG of a colour picture
}

_VIDEO_LUMA_WEIGHTS: Final = np.array([65.481, 128.553, 24.966]) / 255  # BT.601

ForeignKey = tuple[str, str, str, int]


def key_of_foreign(point: ForeignPoint) -> ForeignKey:
    """Key of a point: set, image, kind and quality."""
    return (point.set, point.image, point.kind, point.quality)


def restore_foreign(
    codec: TestedCodec,
    pictures: Sequence[Picture],
    kinds: Sequence[str],
    qualities: Sequence[int],
    *,
    workers: int,
    done: Collection[ForeignKey] = (),
    found: Callable[[ForeignPoint], None],
) -> None:
    """Encode and restore an ordinary JPEG of every picture, kind and quality, except those in `done`."""
    with cancellable_threads(workers) as threads:
        for picture in pictures:
            wanted = [(k, q) for k in kinds for q in qualities]
            wanted = [(k, q) for k, q in wanted if (picture.set, picture.name, k, q) not in done]
            pixels = picture.pixels() if wanted else np.zeros((1, 1), np.uint8)
            if pixels.ndim == 2:
                wanted = [(kind, quality) for kind, quality in wanted if kind == "grey"]
            for task in [threads.submit(_measure, codec, picture, pixels, k, q) for k, q in wanted]:
                found(task.result())


def foreign_jpeg(pixels: Pixels, kind: str, quality: int) -> bytes:
    """Ordinary JPEG of samples: [H, W, 3] for a kind in colour, [H, W] for the others."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:4:4" if kind == "colour444" else "4:2:0")
    return file.getvalue()


def foreign_rows(points: Iterable[ForeignPoint]) -> list[ForeignRow]:
    """Mean rows of each set, kind and quality."""
    groups: dict[tuple[str, str, int], list[ForeignPoint]] = defaultdict(list)
    for point in points:
        groups[point.set, point.kind, point.quality].append(point)
    return [_mean_row(*key, group) for key, group in groups.items()]


def _mean_row(set_name: str, kind: str, quality: int, points: Sequence[ForeignPoint]) -> ForeignRow:
    gains = [point.psnr_rgb - point.jpeg_psnr_rgb for point in points]
    return ForeignRow(
        set=set_name,
        kind=kind,
        quality=quality,
        images=len(points),
        jpeg_psnr_rgb=float(np.mean([point.jpeg_psnr_rgb for point in points])),
        psnr_rgb=float(np.mean([point.psnr_rgb for point in points])),
        jpeg_psnr_y=float(np.mean([point.jpeg_psnr_y for point in points])),
        psnr_y=float(np.mean([point.psnr_y for point in points])),
        worst_gain=min(gains),
        worse=sum(gain < 0 for gain in gains) / len(gains),
    )


def _measure(codec: TestedCodec, picture: Picture, pixels: Pixels, kind: str, quality: int) -> ForeignPoint:
    original = _original_of_kind(pixels, kind)
    stream = foreign_jpeg(original, kind, quality)
    with Image.open(io.BytesIO(stream)) as opened:
        before = similarity(original, np.asarray(opened))
    start = time.perf_counter()
    restored = codec.restore(stream)
    restore_s = time.perf_counter() - start
    after = similarity(original, images.decode(restored.image))
    return ForeignPoint(
        set=picture.set,
        image=picture.name,
        kind=kind,
        quality=quality,
        bytes=len(stream),
        **{f"jpeg_{name}": value for name, value in _similarity_fields(before).items()},
        **_similarity_fields(after),
        restore_s=restore_s,
        model=restored.model,
    )


def _similarity_fields(found: Similarity) -> dict[str, Any]:
    return {name: value for name, value in vars(found).items() if name not in ("ssimulacra2", "colour_drift")}


def _original_of_kind(pixels: Pixels, kind: str) -> Pixels:
    if kind.startswith("colour") or pixels.ndim == 2:
        return pixels
    if kind == "luma":
        return np.asarray(Image.fromarray(pixels).convert("L"))
    return np.asarray(np.rint(16 + pixels @ _VIDEO_LUMA_WEIGHTS), dtype=np.uint8)
