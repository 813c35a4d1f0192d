"""Gallery of crops at three rates, compared with JPEG, WebP and AVIF of the same size.

python -m benchmarks.gallery    # writes docs/gallery.md and docs/gallery/*.webp
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.gallery.coding import OWN, Shown, code
from benchmarks.gallery.pictures import PICTURES, Picture, Pixels
from benchmarks.gallery.sheet import chain, contact_sheet
from virtual_codec.codec import open_codec
from virtual_codec.store import ModelStore, default_model_store

RATES_BPP = (0.15, 0.35, 0.8)
_SIDE = 144
_README_CROP = ("cat", 70, 125)  # picture, top and left of the crop in the README

_PURPOSE = """\
Crops to judge the codec by eye: the picture that `{model}` restores, beside JPEG, WebP and AVIF in at most the same
bytes, at {rates} bits per pixel. No network of this project was trained on these pictures."""
_METHOD = """\
`python -m benchmarks.gallery` writes this page. The ordinary codecs and their settings are those of the
[results](results/results.md): libjpeg-turbo (4:2:0, optimised), libwebp (method 6), libaom (speed 4, 4:2:0). A size
marked *least* is that of the lowest quality, where no file is as small. PSNR is of all RGB samples, MS-SSIM the mean of
the channels; both are of the whole picture."""

Row = tuple[float, Sequence[Shown]]


def main() -> int:
    """Encode every picture at every rate, and write the page and its contact sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of the page (default docs)")
    parser.add_argument(
        "--pictures", nargs="*", default=[picture.name for picture in PICTURES], help="names of pictures (default: all)"
    )
    arguments = parser.parse_args()
    store = default_model_store()
    folder: Path = arguments.docs / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    codec = open_codec(store)
    sections = []
    for picture in (each for each in PICTURES if each.name in arguments.pictures):
        pixels = picture.read()
        rows = [(rate, code(pixels, rate, codec)) for rate in RATES_BPP]
        (folder / f"{picture.name}.webp").write_bytes(contact_sheet(picture, pixels, [row for _, row in rows], _SIDE))
        if picture.name == _README_CROP[0]:
            front = contact_sheet(
                replace(picture, top=_README_CROP[1], left=_README_CROP[2]), pixels, [rows[0][1]], 100, zoom=2
            )
            (folder / "front.webp").write_bytes(front)
            (folder / "chain.webp").write_bytes(chain(pixels, rows[0][1][0]))
        sections.append((picture, pixels, rows))
        print(f"{picture.name}: {', '.join(str(len(row[1])) for row in rows)} files", file=sys.stderr)
    codec.close()
    (arguments.docs / "gallery.md").write_text(page(ModelStore(store).default.name, sections), encoding="utf-8")
    return 0


def page(model: str, sections: Sequence[tuple[Picture, Pixels, Sequence[Row]]]) -> str:
    """Page of the gallery in Markdown."""
    blocks = [
        "# Gallery",
        _PURPOSE.format(model=model, rates=f"{', '.join(map(str, RATES_BPP[:-1]))} and {RATES_BPP[-1]}"),
        _METHOD,
    ]
    for picture, _, rows in sections:
        blocks += [f"## {picture.title}", f"![{_alternative(picture, rows)}](gallery/{picture.name}.webp)"]
        blocks += [_table(rows), f"Source: {picture.source}."]
    return "\n\n".join([*blocks, "## What to conclude", _conclusion(sections)]) + "\n"


def _alternative(picture: Picture, rows: Sequence[Row]) -> str:
    return f"{picture.title}: original, then {', '.join(shown.codec for shown in rows[0][1])} at {len(rows)} rates"


def _table(rows: Sequence[Row]) -> str:
    lines = ["| bits per pixel | codec | bytes | PSNR | MS-SSIM |", "| --: | --- | --: | --: | --: |"]
    for rate, row in rows:
        for shown in row:
            least = " *least*" if shown.size_bytes > row[0].size_bytes else ""
            values = f"{shown.size_bytes:,}{least} | {shown.psnr_db:.2f} dB | {shown.ms_ssim:.4f}"
            lines.append(f"| {rate} | {shown.codec} | {values} |")
    return "\n".join(lines)


def _conclusion(sections: Sequence[tuple[Picture, Pixels, Sequence[Row]]]) -> str:
    """Sentences with the number of cases in which the restored picture is better than each codec's."""
    lines = []
    everything = [row for _, _, rows in sections for _, row in rows]
    for index, other in enumerate(everything[0][1:], 1):
        fair = [row for row in everything if row[index].size_bytes <= row[0].size_bytes]
        ahead = sum(row[0].psnr_db > row[index].psnr_db for row in fair)
        similar = sum(row[0].ms_ssim > row[index].ms_ssim for row in fair)
        beyond = len(everything) - len(fair)
        more = f" In {beyond} of {len(everything)} cases {other.codec} has no file as small." if beyond else ""
        lines.append(
            f"- Against {other.codec}: {OWN} has the higher PSNR in {ahead} and the higher MS-SSIM in {similar} of\n"
            f"  {len(fair)} cases.{more}"
        )
    return "\n".join(
        [
            "A case is a picture at a rate.\n",
            *lines,
            "\nA few pictures show kinds of faults, not averages: those are in the [results](results/results.md).",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
