"""`vcodec compress`: compression of images to streams."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Final

from virtual_codec.cli._convert import Converted, add_file_arguments, check_output, convert
from virtual_codec.cli._files import IMAGES, plan
from virtual_codec.cli._image_codec import CodecConfig, ImageCodec, OpenCodec
from virtual_codec.cli._open import add_codec_arguments, opened_codec
from virtual_codec.cli._verb import Misuse, Verb
from virtual_codec.errors import BadOption
from virtual_codec.jobs import DEFAULT_EFFORT, DEFAULT_QUALITY, CompressOptions

SUFFIXES: Final = {"jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg2000": (".jp2",)}  # another's is its name, or any
OPTIONS: Final = {
    "quality": ("Q", f"1-100, JPEG's own scale (default {DEFAULT_QUALITY})"),
    "max-bytes": ("N", "the best image in at most N bytes"),
    "max-bpp": ("X", "the best image in at most X bits per pixel"),
    "min-psnr": ("DB", "the smallest stream that reaches this PSNR (RGB) when restored"),
    "min-ms-ssim": ("X", "the smallest stream that reaches this MS-SSIM (RGB mean, 0-1) when restored"),
    "effort": ("0-9", f"time spent on a smaller stream of equal quality (default {DEFAULT_EFFORT})"),
    "scale": ("S", "how many times smaller the description is: auto (default), 1 or 2"),
    "codec": ("NAME", "the standard codec (default jpeg)"),
    "model": ("NAME", "a model's name or id (default: the store's)"),
    "background": ("RRGGBB", "colour behind transparent pixels (default ffffff)"),
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_arguments(parser)
    add_codec_arguments(parser)
    for name, (metavar, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)


def _run(arguments: argparse.Namespace, open_codec: OpenCodec) -> int:
    check_output(arguments)
    options = parse_options(arguments)
    tasks = plan(
        arguments.inputs,
        arguments.output,
        taken=IMAGES,
        suffixes=SUFFIXES.get(options.codec) or (f".{options.codec}", Path(arguments.output).suffix.lower()),
        force=arguments.force,
        keep_suffix=arguments.keep_suffix,
    )
    config = CodecConfig(
        model_store=arguments.model_store,
        device=arguments.device,
        model=options.model,
        codec=options.codec,
    )
    with opened_codec(open_codec, config) as codec:
        return convert(tasks, partial(_compress, codec, options), arguments)


def _compress(codec: ImageCodec, options: CompressOptions, image: bytes) -> Converted:
    result = codec.compress(image, options)
    return Converted(
        content=result.stream,
        facts={
            "width": result.width,
            "height": result.height,
            "rate_bpp": round(result.rate_bpp, 4),
            "quality": result.quality,
            "scale": result.scale,
            "model": result.model,
            "psnr_db": None if result.psnr_db is None else round(result.psnr_db, 3),
            "ms_ssim": None if result.ms_ssim is None else round(result.ms_ssim, 5),
        },
    )


def parse_options(arguments: argparse.Namespace) -> CompressOptions:
    """Options of `OPTIONS` in parsed arguments. Raises `Misuse`."""
    given = {name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in OPTIONS}
    try:
        return CompressOptions.parse({name: text for name, text in given.items() if text is not None})
    except BadOption as error:
        raise Misuse(str(error).replace("_", "-")) from error


VERB: Final = Verb(
    summary="images to plain JPEGs",
    epilog=lambda: "Give at most one of --quality, --max-bytes, --max-bpp, --min-psnr and --min-ms-ssim.",
    add_arguments=_add_arguments,
    run=_run,
)
