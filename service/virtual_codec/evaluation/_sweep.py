"""Sweep of the codec under test over all pictures and qualities, through its public interface."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from PIL import Image

from virtual_codec import images
from virtual_codec.cancellable_threads import cancellable_threads
from virtual_codec.evaluation.pictures import Picture
from virtual_codec.evaluation.points import Point, similarity
from virtual_codec.jobs import CompressOptions, CompressResult, RestoreResult
from virtual_codec.metrics import Pixels


class TestedCodec(Protocol):
    """Codec under test: compression and restoring, as by `VirtualCodec`."""

    def compress(self, data: bytes, options: CompressOptions) -> CompressResult:
        """Compress an image file."""

    def restore(self, data: bytes) -> RestoreResult:
        """Restore a stream, or any JPEG, to an image file."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Named options of the codec, without the quality, which is swept."""

    name: str
    options: CompressOptions = field(default_factory=CompressOptions)


PointKey = tuple[str, str, str, float]


def key_of(point: Point) -> PointKey:
    """Key of a point: set, image, codec and setting."""
    return (point.set, point.image, point.codec, point.setting)


def sweep(
    codec: TestedCodec,
    pictures: Sequence[Picture],
    variants: Sequence[Variant],
    qualities: Sequence[int],
    *,
    workers: int,
    with_ssimulacra2: bool = False,
    done: Collection[PointKey] = (),
    found: Callable[[Point], None],
) -> None:
    """Measure every variant and quality on every picture except those in `done`; pass each point to `found`."""
    with cancellable_threads(workers) as threads:  # that share the codec, as in the service
        for picture in pictures:
            wanted = [(v, q) for v in variants for q in qualities]
            wanted = [(v, q) for v, q in wanted if (picture.set, picture.name, v.name, float(q)) not in done]
            if not wanted:
                continue
            pixels = picture.pixels()
            png = as_png(pixels)
            tasks = [threads.submit(_measure, codec, picture, pixels, png, v, q, with_ssimulacra2) for v, q in wanted]
            for task in tasks:
                found(task.result())


def as_png(pixels: Pixels) -> bytes:
    """PNG file of samples, with fast and weak compression."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _measure(
    codec: TestedCodec,
    picture: Picture,
    pixels: Pixels,
    png: bytes,
    variant: Variant,
    quality: int,
    with_ssimulacra2: bool,
) -> Point:
    start = time.perf_counter()
    compressed = codec.compress(png, replace(variant.options, quality=quality))
    compressed_at = time.perf_counter()
    restored = codec.restore(compressed.stream)
    restored_at = time.perf_counter()
    return Point(
        set=picture.set,
        image=picture.name,
        codec=variant.name,
        setting=quality,
        width=pixels.shape[1],
        height=pixels.shape[0],
        bytes=len(compressed.stream),
        scale=compressed.scale,
        model=compressed.model,
        **vars(similarity(pixels, images.decode(restored.image), with_ssimulacra2=with_ssimulacra2)),
        compress_s=compressed_at - start,
        restore_s=restored_at - compressed_at,
    )
