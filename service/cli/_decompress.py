"""`vcodec decompress`: streams, and any other JPEGs, to restored images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from service.cli._convert import Converted, add_file_arguments, check_output, convert
from service.cli._files import plan
from service.cli._open import CodecWish, OpenCodec, add_codec_arguments
from service.cli._verb import Verb
from service.jobs import OutputFormat, RestoreOptions

_STREAMS: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".jp2"})
_FORMATS: Final[dict[str, OutputFormat]] = {"png": "png", "webp": "webp", "bmp": "bmp"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_arguments(parser)
    add_codec_arguments(parser)
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        help="of the images (default: by OUT's suffix, otherwise png); all lossless",
    )


def _run(arguments: argparse.Namespace, open_codec: OpenCodec) -> int:
    check_output(arguments)
    by_suffix = Path(arguments.output).suffix.lower().removeprefix(".")
    options = RestoreOptions(output=_FORMATS[arguments.format or (by_suffix if by_suffix in _FORMATS else "png")])
    tasks = plan(
        arguments.inputs,
        arguments.output,
        taken=_STREAMS,
        suffix=f".{options.output}",
        force=arguments.force,
    )
    codec = open_codec(CodecWish(model_store=arguments.model_store, device=arguments.device))

    def restore(stream: bytes) -> Converted:
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

    return convert(tasks, restore, arguments)


VERB: Final = Verb(
    summary="streams to images; other JPEGs are freed of their artefacts",
    add_arguments=_add_arguments,
    run=_run,
)
