"""`vcodec compare`: similarity of two pictures, and a picture of their differences."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Final

from virtual_codec.cli._file_io import STANDARD_STREAM, read, write
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._inputs import check_exists
from virtual_codec.cli._verb import Misuse, Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", metavar="A", type=Path, help="original picture")
    parser.add_argument("other", metavar="B", type=Path, help="picture to compare with it, of the same size")
    parser.add_argument(
        "--diff", type=Path, metavar="OUT.png", help="write the differences, amplified by a factor of 8, as a PNG"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT.png if it exists")
    parser.add_argument("--json", action="store_true", help="print the measures as one JSON line")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    from virtual_codec.comparison import compare, difference

    inputs = {path.resolve() for path in (arguments.original, arguments.other)}
    if arguments.diff is not None and arguments.diff.resolve() in inputs:
        raise Misuse(f"--diff would replace {arguments.diff}, which is an input; name another file")
    for path, argument in ((arguments.original, "A"), (arguments.other, "B")):
        if path != STANDARD_STREAM:
            check_exists(path, argument)
    first, second = read(arguments.original), read(arguments.other)
    measures = asdict(compare(first, second))
    if arguments.diff is not None:
        write(arguments.diff, difference(first, second), force=arguments.force)
    if arguments.json:  # the PSNR of equal pictures is infinite, which JSON cannot express
        print(
            json.dumps(
                {name: value if value is None or math.isfinite(value) else None for name, value in measures.items()}
            )
        )
        return 0
    for name, value in measures.items():
        print(f"{name:<14}{'-' if value is None else f'{value:.4f}'}")
    return 0


VERB: Final = Verb(summary="measure the similarity of two pictures", add_arguments=_add_arguments, run=_run)
