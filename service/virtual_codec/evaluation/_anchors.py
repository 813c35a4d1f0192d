"""Anchors: Pillow's standard codecs for comparison, and a cache of their measurements.

    ANCHORS  name -> format, fixed parameters, the parameter that sweeps the rate and its values

Their measurement is slow, above all that of AVIF, and deterministic. The cache holds one small file for each picture
and codec, named by hashes of the samples and of the parameters.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL
from PIL import Image, features

from virtual_codec.cancellable_threads import cancellable_threads
from virtual_codec.errors import BadOption
from virtual_codec.evaluation.pictures import Picture, digest
from virtual_codec.evaluation.points import Point, similarity
from virtual_codec.jobs import check_deadline
from virtual_codec.metrics import Pixels

Measured = dict[str, dict[str, Any]]

_CACHE_VERSION: Final = 1  # a change of the measurements raises it, so that older caches are not used


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """Standard codec and the settings that sweep its rate. `grey` replaces parameters for grey pictures."""

    name: str
    label: str
    format: str
    feature: str
    settings: tuple[float, ...]
    swept: Callable[[float, int], Mapping[str, object]]  # setting, channels -> parameters
    fixed: Mapping[str, object] = field(default_factory=dict)
    grey: Mapping[str, object] = field(default_factory=dict)

    def is_available(self) -> bool:
        """True if this Pillow was built with the codec."""
        return bool(features.check(self.feature))

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Encode a picture with Pillow."""
        channels = 1 if pixels.ndim == 2 else 3
        parameters = {**self.fixed, **(self.grey if channels == 1 else {}), **self.swept(setting, channels)}
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, self.format, **parameters)
        return stream.getvalue()

    def key(self) -> str:
        """Name of the anchor's files in the cache: a hash of the parameters and versions behind its measurements."""
        version = features.version(self.feature)
        text = json.dumps(
            [_CACHE_VERSION, PIL.__version__, version, self.format, self.fixed, self.grey], sort_keys=True
        )
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _quality(setting: float, channels: int) -> Mapping[str, object]:
    del channels
    return {"quality": int(setting)}


def _bits_per_pixel(setting: float, channels: int) -> Mapping[str, object]:
    return {"quality_layers": [8 * channels / setting]}  # OpenJPEG's rates are compression ratios


def measure_anchors(
    pictures: Sequence[Picture],
    sweeps: Mapping[str, Sequence[float]],
    cache_dir: Path,
    *,
    workers: int = 2,
    with_ssimulacra2: bool = False,
    progress: Callable[[str], None],
) -> list[Point]:
    """Points of `sweeps` (names of anchors -> settings) for every picture, from the cache or measured.

    A repeated run continues from the cache. `progress` is called for each picture and codec.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    points: list[Point] = []

    def measure(picture: Picture) -> list[Point]:
        pixels = picture.pixels()
        found: list[Point] = []
        for name, settings in sweeps.items():
            measured = _cached_measurements(ANCHORS[name], pixels, settings, cache_dir, with_ssimulacra2)
            found += [_point(picture, name, pixels, setting, measured[f"{setting:g}"]) for setting in settings]
            progress(f"{name} {picture.set}/{picture.name}")
        return found

    with cancellable_threads(workers) as threads:  # enough, because encoders and metrics release the interpreter's lock
        for measuring in [threads.submit(measure, picture) for picture in pictures]:
            points += measuring.result()
    return points


def check_anchors(names: Iterable[str]) -> None:
    """Raise `BadOption` for a name that is not in `ANCHORS`."""
    unknown = [name for name in names if name not in ANCHORS]
    if unknown:
        raise BadOption(f"no anchor {unknown[0]!r}; have {', '.join(ANCHORS)}")


def _cached_measurements(
    anchor: Anchor, pixels: Pixels, settings: Sequence[float], cache_dir: Path, with_ssimulacra2: bool
) -> Measured:
    path = cache_dir / digest(pixels)[:24] / f"{anchor.key()}.json"
    measured: Measured = json.loads(path.read_text()) if path.exists() else {}
    missing = [setting for setting in settings if not _is_complete(measured.get(f"{setting:g}"), with_ssimulacra2)]
    if missing:
        for setting in missing:
            found = _measure(anchor, pixels, setting, with_ssimulacra2)
            if not with_ssimulacra2:
                found["ssimulacra2"] = measured.get(f"{setting:g}", {}).get("ssimulacra2")
            measured[f"{setting:g}"] = found
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        unfinished.write_text(json.dumps(measured, indent=0))
        os.replace(unfinished, path)
    if not with_ssimulacra2:
        measured = {setting: {**found, "ssimulacra2": None} for setting, found in measured.items()}
    return measured


def _is_complete(measured: Mapping[str, Any] | None, with_ssimulacra2: bool) -> bool:
    """True if a cached measurement holds every requested metric. Older caches lack the colour drift."""
    if measured is None or "colour_drift" not in measured:
        return False
    return not with_ssimulacra2 or measured.get("ssimulacra2") is not None


def _measure(anchor: Anchor, pixels: Pixels, setting: float, with_ssimulacra2: bool) -> dict[str, Any]:
    check_deadline()
    start = time.perf_counter()
    stream = anchor.encode(pixels, setting)
    encoded = time.perf_counter()
    with Image.open(io.BytesIO(stream)) as image:
        restored = np.asarray(image.convert("L" if pixels.ndim == 2 else "RGB"))
    decoded = time.perf_counter()
    times = {"compress_s": round(encoded - start, 6), "restore_s": round(decoded - encoded, 6)}
    return {"bytes": len(stream), **vars(similarity(pixels, restored, with_ssimulacra2=with_ssimulacra2)), **times}


def _point(picture: Picture, name: str, pixels: Pixels, setting: float, measured: Mapping[str, Any]) -> Point:
    height, width = pixels.shape[:2]
    size = {"width": width, "height": height, "scale": 1, "model": ""}
    return Point(set=picture.set, image=picture.name, codec=name, setting=setting, **size, **measured)


ANCHORS: Final[dict[str, Anchor]] = {
    anchor.name: anchor
    for anchor in (
        Anchor(
            name="jpeg",
            label="JPEG",
            format="JPEG",
            feature="libjpeg_turbo",
            settings=(1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24, 30, 37, 45, 55, 65, 75, 85, 92, 95),
            swept=_quality,
            fixed={"optimize": True, "subsampling": "4:2:0"},
        ),
        Anchor(
            name="webp",
            label="WebP",
            format="WEBP",
            feature="webp",
            settings=(0, 1, 2, 4, 7, 11, 16, 23, 32, 43, 55, 67, 77, 84, 89, 93),
            swept=_quality,
            fixed={"method": 6},
        ),
        Anchor(
            name="jpeg2000",
            label="JPEG 2000",
            format="JPEG2000",
            feature="jpg_2000",
            settings=(0.04, 0.055, 0.075, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8, 1.1, 1.5),
            swept=_bits_per_pixel,
            fixed={"irreversible": True, "quality_mode": "rates", "mct": 1},
            grey={"mct": 0},
        ),
        Anchor(
            name="avif",
            label="AVIF",
            format="AVIF",
            feature="avif",
            settings=(1, 8, 16, 24, 32, 42, 52, 64, 76, 86),
            swept=_quality,
            fixed={"speed": 4, "subsampling": "4:2:0", "max_threads": 1, "autotiling": False},
            grey={"subsampling": "4:0:0"},
        ),
    )
}
