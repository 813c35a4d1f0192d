"""`vcodec compress`: compression of images to streams."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from virtual_codec.cli._convert import Converted, Converter, add_file_arguments, check_operands, convert
from virtual_codec.cli._files import IMAGES, check_copies, is_folder, plan
from virtual_codec.cli._image_codec import CodecConfig, ImageCodec, OpenCodec
from virtual_codec.cli._open import add_codec_arguments, opened_codec
from virtual_codec.cli._server import add_server_arguments, server_opener
from virtual_codec.cli._verb import Misuse, Verb
from virtual_codec.errors import BadOption
from virtual_codec.jobs import DEFAULT_EFFORT, DEFAULT_QUALITY, CompressOptions

SUFFIXES: Final = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "webp": (".webp",),
    "avif": (".avif",),
    "jpeg2000": (".jp2",),
}
OPTIONS: Final = {
    "quality": ("Q", f"quality on JPEG's scale, 1-100 (default {DEFAULT_QUALITY})"),
    "max-bytes": ("SIZE", "best image in at most SIZE bytes: 20000, 20k, 1.5M, 64Ki"),
    "max-bpp": ("X", "best image in at most X bits per pixel"),
    "min-psnr": ("DB", "smallest stream whose restored image has at least this PSNR in dB (RGB): 32.5"),
    "min-ms-ssim": ("X", "smallest stream whose restored image has at least this MS-SSIM (RGB mean, 0-1): 0.98"),
    "effort": ("0-9", f"search effort; higher is slower and gives smaller streams (default {DEFAULT_EFFORT})"),
    "scale": ("S", "reduction factor of the coded picture: auto (default), 1 or 2"),
    "codec": ("NAME", "standard codec: jpeg, webp, avif or jpeg2000 (default: by OUT's suffix, otherwise jpeg)"),
    "model": ("NAME", "name or id of a model (default: the store's default model)"),
    "metadata": ("WHAT", "EXIF and XMP to keep: none (default), exif, xmp or all; location only with all"),
    "background": ("RRGGBB", "colour behind transparent pixels (default ffffff)"),
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_arguments(parser)
    add_codec_arguments(parser)
    add_server_arguments(parser)
    add_option_arguments(parser)
    parser.add_argument(
        "--if-larger",
        choices=("warn", "skip", "copy"),
        default="warn",
        help="action if an output is larger than its input: warn (default), skip it, or copy the input",
    )


def add_option_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of compression."""
    for name, (metavar, text) in OPTIONS.items():
        names = ("-q", "--quality") if name == "quality" else (f"--{name}",)
        parser.add_argument(*names, metavar=metavar, help=text)


def _run(arguments: argparse.Namespace, open_codec: OpenCodec) -> int:
    check_operands(arguments)
    if arguments.codec is None and not is_folder(arguments.output):
        arguments.codec = _codec_of(arguments.output)
    open_codec = server_opener(arguments) or open_codec
    options = parse_options(arguments)
    force = arguments.force or arguments.newer
    planned = plan(
        arguments.inputs,
        arguments.output,
        taken=IMAGES,
        suffixes=SUFFIXES.get(options.codec) or (f".{options.codec}", Path(arguments.output).suffix.lower()),
        force=force,
        keep_suffix=arguments.keep_suffix,
    )
    if arguments.if_larger == "copy":
        check_copies(planned.tasks, force=force)
    config = CodecConfig(model_store=arguments.model_store, device=arguments.device, options=options)

    @contextmanager
    def opened() -> Iterator[Converter]:
        with opened_codec(open_codec, config) as codec:
            yield partial(_compress, codec, options)

    return convert(planned, arguments, opened)


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
        left_out=result.left_out,
    )


def _codec_of(output: str) -> str | None:
    """Codec of an output file's suffix, or None."""
    suffix = Path(output).suffix.lower()
    return next((codec for codec, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def parse_options(arguments: argparse.Namespace) -> CompressOptions:
    """Parse the options of compression from the arguments. Raises `Misuse`."""
    texts = {name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in OPTIONS}
    given = {name: text for name, text in texts.items() if text is not None}
    if "max_bytes" in given:
        given["max_bytes"] = _bytes_of(given["max_bytes"])
    try:
        return CompressOptions.parse(given)
    except BadOption as error:
        raise Misuse(str(error).replace("_", "-")) from error


def _bytes_of(text: str) -> str:
    """Convert a size such as 20k, 1.5MB or 64Ki to bytes; other texts stay for the option's own check."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmM])(i?)[bB]?", text)
    if match is None:
        return text
    base = 1024 if match[3] else 1000
    return str(int(float(match[1]) * base ** (1 if match[2] in "kK" else 2)))


_EPILOG: Final = """\
Give at most one of --quality, --max-bytes, --max-bpp, --min-psnr and --min-ms-ssim.

  vcodec compress photo.png small.jpg -q 30
  vcodec compress photo.png small.jpg --max-bytes 20k       best image in 20,000 bytes
  vcodec compress photo.png small.avif                      AVIF, smaller than JPEG at equal quality
  vcodec compress photos/ -o small/ --min-psnr 32.5         smallest streams of at least 32.5 dB
  vcodec compress photos/ -o small/ --newer --keep-times    only images that have changed since

Images are compressed one after another, each on all cores. `vcodec bulk` is for many images on many cores or GPUs."""

VERB: Final = Verb(
    summary="compress images to standard JPEG, WebP, AVIF or JPEG 2000 files",
    epilog=lambda: _EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
