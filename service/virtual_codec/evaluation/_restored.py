"""Restored anchors: files of the standard codecs after post-processing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import numpy as np
from PIL import Image

from virtual_codec import images
from virtual_codec.cancellable_threads import cancellable_threads
from virtual_codec.evaluation._anchors import ANCHORS
from virtual_codec.evaluation._sweep import PointKey, TestedCodec
from virtual_codec.evaluation.pictures import Picture
from virtual_codec.evaluation.points import Point, similarity
from virtual_codec.metrics import Pixels

_SUFFIX: Final = "-restored"


def restored_name(anchor: str) -> str:
    """Codec name of an anchor's restored files, in points and tables."""
    return anchor + _SUFFIX


def anchor_of(codec: str) -> str | None:
    """Anchor of a codec name made by `restored_name`, or None for other names."""
    anchor = codec.removesuffix(_SUFFIX)
    return anchor if anchor != codec and anchor in ANCHORS else None


def restore_anchors(
    codec: TestedCodec,
    pictures: Sequence[Picture],
    sweeps: Mapping[str, Sequence[float]],
    *,
    workers: int,
    with_ssimulacra2: bool = False,
    done: Collection[PointKey] = (),
    found: Callable[[Point], None],
) -> None:
    """Encode and restore the files of `sweeps` (anchor -> settings) of every picture, except those in `done`."""
    with cancellable_threads(workers) as threads:
        for picture in pictures:
            wanted = [(name, setting) for name, settings in sweeps.items() for setting in settings]
            wanted = [(n, s) for n, s in wanted if (picture.set, picture.name, restored_name(n), float(s)) not in done]
            if not wanted:
                continue
            pixels = picture.pixels()
            for task in [threads.submit(_measure, codec, picture, pixels, n, s, with_ssimulacra2) for n, s in wanted]:
                found(task.result())


def _measure(
    codec: TestedCodec, picture: Picture, pixels: Pixels, anchor: str, setting: float, with_ssimulacra2: bool
) -> Point:
    start = time.perf_counter()
    file = ANCHORS[anchor].encode(pixels, setting)
    encoded_at = time.perf_counter()
    restored = codec.restore(file)
    restored_at = time.perf_counter()
    shown = images.decode(restored.image)
    if pixels.ndim == 2 and shown.ndim == 3:  # WebP has no grey
        shown = np.asarray(Image.fromarray(shown).convert("L"))
    return Point(
        set=picture.set,
        image=picture.name,
        codec=restored_name(anchor),
        setting=setting,
        width=pixels.shape[1],
        height=pixels.shape[0],
        bytes=len(file),
        scale=1,
        model=restored.model,
        **vars(similarity(pixels, shown, with_ssimulacra2=with_ssimulacra2)),
        compress_s=encoded_at - start,
        restore_s=restored_at - encoded_at,
    )
