"""Comparison of the default model with published figures of networks before and after JPEG, on the same images.

    python -m benchmarks.published --test tests/ --report docs/published.md
    python -m benchmarks.published --test tests/ --report docs/published.md --runs runs/paper-jpeg-q10-small

Jiang et al., "An End-to-End Compression Framework Based on Convolutional Neural Networks" (2017), give means over
seven grey images at the bits of JPEG. Here each image is compressed to at most the bytes of its JPEG. With --runs,
finished runs of the `paper-...` recipes are measured on the same images, at the sizes of their own streams.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import metrics
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.jobs import CompressOptions
from virtual_codec.store import ModelStore, default_model_store
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, read_progress
from virtual_codec.training.published_algorithm import PublishedNetworks, describe, through_real_codec
from virtual_codec.training.recipes import RECIPES

IMAGES = {
    "Butterfly": "set5/butterfly_GT.webp",
    "Lena": "classic5/lena.webp",
    "Peppers": "classic5/peppers.webp",
    "Monarch": "set14/monarch.webp",
    "Barbara": "classic5/barbara.webp",
    "Boats": "classic5/boats.webp",
}
PUBLISHED_IMAGES = ("Butterfly", "Lena", "Peppers")  # same names; the published versions may have other sizes

_CONCLUSION = """## What to conclude

Compare the gains over JPEG at its own bytes, with caution: few pictures, some perhaps of other sizes than theirs."""

# quality -> PSNR in dB and SSIM, means over the seven published images: JPEG, and their networks at its bits.
JIANG = {5: ((25.43, None), (28.83, 0.8535)), 10: ((28.17, None), (30.59, 0.8895))}

Grey = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Row:
    """PSNR in dB and SSIM of an image at one quality: JPEG, and the model in at most its bytes."""

    image: str
    quality: int
    jpeg_bytes: int
    jpeg: tuple[float, float]
    own_bytes: int
    own: tuple[float, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", type=Path, required=True, help="folder that contains the folders of the test sets")
    parser.add_argument("--report", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--store", type=Path, help="model store (default: the bundled store)")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="finished runs of paper-... recipes")
    given = parser.parse_args()
    store = ModelStore(given.store or default_model_store())
    codec = open_codec(store.root)
    pictures = {name: grey(given.test / path) for name, path in IMAGES.items() if (given.test / path).exists()}
    rows = [row_of(codec, name, picture, quality) for quality in JIANG for name, picture in pictures.items()]
    text = [
        _report(rows, f"{store.default.name} ({store.default.id})"),
        *(_of_run(run, pictures) for run in given.runs),
        _CONCLUSION,
    ]
    given.report.write_text("\n\n".join(text) + "\n")
    return 0


def grey(path: Path) -> Grey:
    """Luma of an image file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def row_of(codec: VirtualCodec, name: str, picture: Grey, quality: int) -> Row:
    """Measure an image compressed to at most the bytes of its JPEG."""
    file, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
    Image.fromarray(picture).save(png, "PNG")
    made = codec.compress(png.getvalue(), CompressOptions(max_bytes=len(file.getvalue())))
    restored = np.asarray(Image.open(io.BytesIO(codec.restore(made.stream).image)))
    row = Row(
        image=name,
        quality=quality,
        jpeg_bytes=len(file.getvalue()),
        jpeg=_psnr_and_ssim(picture, np.asarray(Image.open(file))),
        own_bytes=len(made.stream),
        own=_psnr_and_ssim(picture, restored),
    )
    print(row, flush=True)
    return row


def _psnr_and_ssim(picture: Grey, restored: Grey) -> tuple[float, float]:
    return metrics.psnr(picture, restored), metrics.ssim(picture, restored)


def _report(rows: Sequence[Row], model: str) -> str:
    lines = [
        "# Comparison with published figures",
        "",
        "This page sets the default model, and the networks of the paper as trained here, beside figures that others",
        "published for the same pictures.",
        "",
        f"Written by `python -m benchmarks.published`. Model: {model}, default effort, `max_bytes` of the JPEG:",
        "libjpeg's, grey, optimised Huffman codes, which take fewer bytes than the default ones. PSNR in dB, and SSIM,",
        "of luma. Theirs are means of seven images. Butterfly, Lena and Peppers are among them by name, perhaps of",
        "another size: what compares best is the gain over JPEG at its own bytes.",
        "",
        "| image | JPEG | bytes | JPEG's PSNR, SSIM | our bytes | our PSNR, SSIM | gain |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for quality, (theirs_jpeg, theirs) in JIANG.items():
        of_quality = [row for row in rows if row.quality == quality]
        lines += [
            f"| {row.image} | Q{quality} | {row.jpeg_bytes} | {row.jpeg[0]:.2f}, {row.jpeg[1]:.4f} | {row.own_bytes} "
            f"| {row.own[0]:.2f}, {row.own[1]:.4f} | {row.own[0] - row.jpeg[0]:+.2f} |"
            for row in of_quality
        ]
        for title, some in (
            ("mean of all here", of_quality),
            ("mean of those of theirs", [row for row in of_quality if row.image in PUBLISHED_IMAGES]),
        ):
            means = [np.mean([getattr(row, kind)[i] for row in some]) for kind in ("jpeg", "own") for i in (0, 1)]
            lines.append(
                f"| **{title}** | Q{quality} | | {means[0]:.2f}, {means[1]:.4f} | | **{means[2]:.2f}, {means[3]:.4f}** "
                f"| **{means[2] - means[0]:+.2f}** |"
            )
        lines.append(
            f"| Jiang et al., mean of seven | Q{quality} | | {theirs_jpeg[0]:.2f} | | {theirs[0]:.2f}, {theirs[1]:.4f} "
            f"| {theirs[0] - theirs_jpeg[0]:+.2f} |"
        )
    return "\n".join(lines)


@torch.no_grad()
def _of_run(run: Path, pictures: dict[str, Grey]) -> str:
    progress = read_progress(run / CHECKPOINT)
    config = RECIPES[progress.recipe]()
    assert config.schedule is not None
    codec, setting = config.schedule.codec, config.schedule.setting
    network = PublishedNetworks(width=config.channels)
    network.load_state_dict(load_average(run / CHECKPOINT))
    lines = [
        f"## `{progress.recipe}`, width {config.channels}, {progress.step} of {config.steps} steps",
        "",
        "| image | bytes | PSNR, SSIM | plain downscale, the same codec, bicubic: bytes | PSNR, SSIM |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, picture in pictures.items():
        even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        image = torch.from_numpy(even.copy())[None, None].float() / 255
        decoded, bits = through_real_codec(describe(network, image), codec, setting)
        own = _psnr_and_ssim(even, _bytes(network.postprocess(decoded)))
        half = torch.nn.functional.interpolate(image, scale_factor=0.5, mode="bicubic", antialias=True).clamp(0, 1)
        shown, plain_bits = through_real_codec(half, codec, setting)
        plain = _psnr_and_ssim(even, _bytes(torch.nn.functional.interpolate(shown, scale_factor=2, mode="bicubic")))
        lines.append(
            f"| {name} | {int(bits[0]) // 8} | {own[0]:.2f}, {own[1]:.4f} | {int(plain_bits[0]) // 8} "
            f"| {plain[0]:.2f}, {plain[1]:.4f} |"
        )
    return "\n".join(lines)


def _bytes(picture: torch.Tensor) -> Grey:
    return np.ascontiguousarray((picture[0, 0].clamp(0, 1) * 255).round().byte().numpy())


if __name__ == "__main__":
    raise SystemExit(main())
