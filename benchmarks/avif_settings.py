"""Settings of the AVIF encoder, after post-processing, against Pillow's own AVIF at the same speed.

python -m benchmarks.avif_settings PICTURES --prefix v --speeds 6 --count 8

PICTURES is a folder of photographs that no network was trained on. A test picture of 512x512 pixels consists of four of
them, the upper left 256x256 pixels of each. The rate of a restored file includes its header.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.rates import METRICS, Curve, Pixels, point, savings
from virtual_codec import bitstream, images
from virtual_codec.codec.model import ModelNetworks, condition_of_quantisation
from virtual_codec.codecs import QUALITY_CODECS, QualitySettings
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

LEVELS: Final = (8, 18, 30, 45, 60, 76)
RANGES: Final = ((0.1, 0.4), (0.4, 1.5))  # bits per pixel

# Options of libaom. None means this project's options, which depend on the level. Pillow's default is `tune=iq`.
TUNINGS: Final[Mapping[str, Mapping[str, str] | None]] = {
    "Pillow's own": {},
    "psnr": {"tune": "psnr"},
    "ssim": {"tune": "ssim"},
    "ssim, matrices": {"tune": "ssim", "enable-qm": "1"},
    "ours": None,
}
_SIDE: Final = 256


def mosaics(folder: Path, prefix: str, count: int) -> list[Pixels]:
    """Test pictures [512, 512, 3] of four photographs each, evenly spread over the sorted names."""
    paths = sorted(path for path in folder.iterdir() if path.name.startswith(prefix) and path.suffix != ".tsv")
    found = [images.decode(path.read_bytes())[:_SIDE, :_SIDE] for path in paths]
    whole = [picture for picture in found if picture.shape == (_SIDE, _SIDE, 3)]
    if len(whole) < 4:
        raise SystemExit(f"{folder} has fewer than four colour pictures of at least {_SIDE}x{_SIDE} pixels")
    made = [
        np.concatenate([np.concatenate(whole[place : place + 2], 1), np.concatenate(whole[place + 2 : place + 4], 1)])
        for place in range(0, len(whole) - 3, 4)
    ]
    return made[:: max(1, len(made) // count)][:count]


def encode(picture: Pixels, level: int, speed: int, subsampling: str, tuning: Mapping[str, str] | None) -> bytes:
    """AVIF file of a picture [H, W, 3] at a level (0-100) and an encoder speed."""
    if tuning is None:
        settings = QualitySettings(level=level, speed=speed, subsampling="444" if subsampling == "4:4:4" else "420")
        return QUALITY_CODECS["avif"].encode(picture, settings)
    file, advanced = io.BytesIO(), {"advanced": dict(tuning)} if tuning else {}
    Image.fromarray(picture).save(
        file,
        "AVIF",
        quality=level,
        speed=speed,
        subsampling=subsampling,
        max_threads=1,
        autotiling=False,
        **advanced,
    )
    return file.getvalue()


def curves(
    pictures: Sequence[Pixels], speed: int, subsampling: str, tuning: Mapping[str, str] | None, model: ModelNetworks
) -> tuple[list[Curve], list[Curve]]:
    """Rate-distortion curves of the pictures, decoded and restored."""
    plain, restored = [], []
    for picture in pictures:
        rows = []
        for level in LEVELS:
            coded = encode(picture, level, speed, subsampling, tuning)
            decoded = QUALITY_CODECS["avif"].decode(coded)
            found = bitstream.quantisation(coded, "avif")
            assert found is not None
            shown = model.restore(decoded, 1, condition_of_quantisation(found))
            size = len(coded)
            rows.append((point(picture, decoded, size), point(picture, shown, size + bitstream.ATTACHED_BYTES["avif"])))
        plain.append(np.array([row[0] for row in rows]))
        restored.append(np.array([row[1] for row in rows]))
    return plain, restored


def main() -> None:
    """Print BD-rates of restored files for every tuning and speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--prefix", default="", help="prefix of the names of the pictures (default: none)")
    parser.add_argument("--model", default="codecs-1")
    parser.add_argument("--speeds", default="6")
    parser.add_argument("--count", type=int, default=8, help="number of test pictures (default 8)")
    parser.add_argument("--tunings", default=";".join(TUNINGS), help="tunings, separated by semicolons (default: all)")
    arguments = parser.parse_args()
    store = ModelStore(default_model_store(), default=arguments.model)
    model = ModelNetworks(store, store.default, DirectRunner())
    pictures = mosaics(arguments.pictures, arguments.prefix, arguments.count)
    print(f"BD-rate in percent, {len(pictures)} pictures: {' / '.join(METRICS)}\n")
    print("| speed | subsampling | tuning | 0.1-0.4 bpp | 0.4-1.5 bpp |\n| --- | --- | --- | --- | --- |")
    for speed in map(int, arguments.speeds.split(",")):
        anchors = curves(pictures, speed, "4:2:0", {}, model)[0]
        for subsampling in ("4:2:0", "4:4:4"):
            for name in arguments.tunings.split(";"):
                restored = curves(pictures, speed, subsampling, TUNINGS[name], model)[1]
                cells = [" / ".join(f"{value:+.1f}" for value in savings(anchors, restored, *of)) for of in RANGES]
                print(f"| {speed} | {subsampling} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
