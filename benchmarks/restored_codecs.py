"""AVIF, WebP and JPEG 2000, restored, against themselves at the same settings, their encoders' defaults, and JPEG.

python -m benchmarks.restored_codecs PICTURES --model codecs-1

The rate of a restored file counts its header; the others have none. Encoders run at the speed of effort 4.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from benchmarks.rates import METRICS, Curve, Pixels, point, reference_jpeg, savings
from virtual_codec import bitstream, images
from virtual_codec.codec.model import ModelNetworks, condition_of_quantisation
from virtual_codec.codecs import QUALITY_CODECS, QualityCodec, QualitySettings
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

Subsampling = Literal["420", "444"]

LEVELS: Final = {
    "avif": (4, 10, 18, 26, 36, 46, 58, 72),
    "webp": (0, 2, 8, 20, 40, 60, 78, 90),
    "jpeg2000": (4, 12, 20, 28, 36, 46, 58),
}
JPEG_QUALITIES: Final = (2, 4, 7, 12, 20, 35, 55, 75, 90)


def files(
    picture: Pixels, codec: QualityCodec, model: ModelNetworks, subsampling: Subsampling, level: int
) -> Iterator[tuple[str, int, Pixels]]:
    """Name, size and picture: plain at these settings, plain with the encoder's defaults if they differ, restored."""
    settings = QualitySettings(level=level, speed=codec.usual_speed, subsampling=subsampling)
    coded = codec.encode(picture, settings)
    decoded = codec.decode(coded)
    yield codec.name, len(coded), decoded
    if codec.name == "avif":
        usual = codec.encode(picture, QualitySettings(level=level, speed=codec.usual_speed, is_tuned=False))
        yield f"{codec.name} by default", len(usual), codec.decode(usual)
    found = bitstream.quantisation(coded, codec.name)
    assert found is not None
    restored = model.restore(decoded, 1, condition_of_quantisation(found))
    yield f"{codec.name} restored", len(coded) + bitstream.ATTACHED_BYTES[codec.name], restored


def measured(
    pictures: Sequence[Pixels], codec: QualityCodec, model: ModelNetworks, subsampling: Subsampling, every: int
) -> dict[str, list[Curve]]:
    """Curves of all pictures, by the name of the kind of file."""
    found: dict[str, list[Curve]] = defaultdict(list)
    for place, picture in enumerate(pictures):
        print(f"{codec.name}: {place + 1} of {len(pictures)}", flush=True)
        curves: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for level in LEVELS[codec.name][::every]:
            for name, size, shown in files(picture, codec, model, subsampling, level):
                curves[name].append(point(picture, shown, size))
        for name, curve in curves.items():
            found[name].append(np.array(curve))
    return found


def main() -> None:
    """Print mean BD-rates and mean gains of every restored codec."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", default="codecs-1")
    parser.add_argument("--store", type=Path, default=default_model_store())
    parser.add_argument("--codecs", default="avif,webp,jpeg2000")
    parser.add_argument(
        "--subsampling",
        choices=("420", "444"),
        help="chroma subsampling (default: this project's default for the codec)",
    )
    parser.add_argument(
        "--count", type=int, help="number of pictures, evenly spread over the sorted names (default: all)"
    )
    parser.add_argument("--every", type=int, default=1, help="measure only every n-th level (default 1)")
    parser.add_argument(
        "--range", nargs="+", default=["0.1,0.4", "0.1,1.0"], help="bits per pixel of the anchor (0.1,0.4 0.1,1.0)"
    )
    arguments = parser.parse_args()
    store = ModelStore(arguments.store, default=arguments.model)
    model = ModelNetworks(store, store.default, DirectRunner())
    paths = sorted(path for path in arguments.pictures.iterdir() if path.suffix in {".png", ".webp", ".avif"})
    chosen = paths[:: max(1, len(paths) // (arguments.count or len(paths)))][: arguments.count]
    pictures = [images.decode(path.read_bytes()) for path in chosen]
    ranges = [tuple(map(float, text.split(","))) for text in arguments.range]
    jpegs = [reference_jpeg(picture, JPEG_QUALITIES) for picture in pictures]
    rows = []
    for codec in (QUALITY_CODECS[name] for name in arguments.codecs.split(",")):
        is_given = codec.name == "avif" and arguments.subsampling
        subsampling = arguments.subsampling if is_given else codec.subsamplings[-1]
        found = measured(pictures, codec, model, subsampling, arguments.every) | {"jpeg": jpegs}
        restored = found.pop(f"{codec.name} restored")
        for anchor, curves in found.items():
            for low, high in ranges:
                values = " / ".join(f"{value:+.1f}" for value in savings(curves, restored, low, high))
                rows.append(f"| {codec.name} restored | {anchor} | {low:g}-{high:g} | {values} |")
        plain = found[codec.name]
        gains = np.mean([of[:, 1] - was[:, 1] for of, was in zip(restored, plain, strict=True)], axis=0)
        rates = np.mean([was[:, 0] for was in plain], axis=0)
        found_db = ", ".join(f"{gain:+.2f} at {rate:.2f}" for gain, rate in zip(gains, rates, strict=True))
        rows.append(f"{codec.name}: dB RGB at bpp: {found_db}")
    print(f"\nBD-rate in percent: {' / '.join(METRICS)}, {len(pictures)} pictures")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
