"""`vcodec evaluate`: rate-distortion curves over a folder of images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from service.cli._open import OpenCodec
from service.cli._verb import Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the test images")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report goes")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    raise NotImplementedError


VERB: Final = Verb(summary="measure rate and distortion", add_arguments=_add_arguments, run=_run)
