"""`vcodec decompress`: restoring of streams, and of other JPEG, WebP, AVIF and JPEG 2000 files, to images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from virtual_codec.cli._convert import Converted, Converter, add_file_arguments, check_operands, convert
from virtual_codec.cli._files import is_folder, plan
from virtual_codec.cli._image_codec import CodecConfig, ImageCodec, OpenCodec
from virtual_codec.cli._open import add_codec_arguments, opened_codec
from virtual_codec.cli._server import add_server_arguments, server_opener
from virtual_codec.cli._verb import Verb
from virtual_codec.jobs import OutputFormat, RestoreOptions

STREAMS: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".jp2"})
FORMATS: Final[dict[str, OutputFormat]] = {"png": "png", "webp": "webp", "bmp": "bmp"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_arguments(parser)
    add_codec_arguments(parser)
    add_server_arguments(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="lossless format of the images (default: by OUT's suffix, otherwise png)",
    )


def _run(arguments: argparse.Namespace, open_codec: OpenCodec) -> int:
    check_operands(arguments)
    open_codec = server_opener(arguments) or open_codec
    options = RestoreOptions(output=_format(arguments))
    planned = plan(
        arguments.inputs,
        arguments.output,
        taken=STREAMS,
        suffixes=(f".{options.output}",),
        force=arguments.force or arguments.newer,
        keep_suffix=arguments.keep_suffix,
    )
    config = CodecConfig(model_store=arguments.model_store, device=arguments.device)

    @contextmanager
    def opened() -> Iterator[Converter]:
        with opened_codec(open_codec, config) as codec:
            yield partial(_restore, codec, options)

    return convert(planned, arguments, opened)


def _restore(codec: ImageCodec, options: RestoreOptions, stream: bytes) -> Converted:
    result = codec.restore(stream, options)
    return Converted(
        content=result.image,
        facts={
            "width": result.width,
            "height": result.height,
            "rate_bpp": round(result.rate_bpp, 4),
            "scale": result.scale,
            "model": result.model,
        },
    )


def _format(arguments: argparse.Namespace) -> OutputFormat:
    """Output format: from `--format`, or from the suffix of a single output file."""
    if arguments.format is not None:
        return FORMATS[arguments.format]
    suffix = "" if is_folder(arguments.output) else Path(arguments.output).suffix
    return FORMATS.get(suffix.lower().removeprefix("."), "png")


VERB: Final = Verb(
    summary="restore compressed images, and remove artefacts of other JPEG, WebP, AVIF and JPEG 2000 files",
    add_arguments=_add_arguments,
    run=_run,
)
