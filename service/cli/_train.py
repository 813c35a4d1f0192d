"""`vcodec train`: a model from a recipe and a folder of images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from service.cli._open import OpenCodec
from service.cli._verb import Verb, positive_seconds


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="images to train on")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where checkpoints and the model go"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUT")
    parser.add_argument(
        "--time-limit", type=positive_seconds, metavar="SECONDS", help="stop in time, with a checkpoint"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda or cuda:N (default: cuda where there is one)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    raise NotImplementedError


VERB: Final = Verb(summary="train a model", add_arguments=_add_arguments, run=_run)
