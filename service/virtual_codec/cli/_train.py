"""`vcodec train`: training of networks by recipes, from a folder of images."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from virtual_codec import interrupts
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._inputs import check_exists, check_folder
from virtual_codec.cli._open import add_device_argument, check_device, first_device
from virtual_codec.cli._verb import Verb, positive, positive_seconds

if TYPE_CHECKING:
    from virtual_codec.training import TrainReport, TrainRequest


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipes",
        nargs="+",
        metavar="RECIPE",
        help="recipes, listed below; several run in parallel on one device, each in its own process, into OUT/RECIPE",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of training images")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for checkpoints and logs")
    parser.add_argument("--resume", action="store_true", help="resume from the checkpoint in OUT")
    parser.add_argument("--steps", type=positive, metavar="N", help="number of optimiser steps (default: the recipe's)")
    parser.add_argument("--batch", type=positive, metavar="N", help="number of crops in a step (default: the recipe's)")
    parser.add_argument(
        "--crop", type=positive, metavar="PIXELS", help="side of the crops in pixels (default: the recipe's)"
    )
    parser.add_argument(
        "--time-limit",
        type=positive_seconds,
        metavar="SECONDS",
        help="stop after this time in seconds, with a checkpoint (default: no limit)",
    )
    parser.add_argument(
        "--pace",
        choices=["steps", "time"],
        default="steps",
        help="decay of the learning rate by the recipe's steps, or by the time until --time-limit (default steps)",
    )
    parser.add_argument(
        "--codec",
        choices=["auto", "host", "device"],
        default="auto",
        help="codec of the crops: host (on the CPU), device, or auto, which is device on CUDA (default auto)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the random numbers (default 0)")
    add_device_argument(parser)
    parser.add_argument(
        "--precision",
        choices=["bfloat16", "float32"],
        default="bfloat16",
        help="number format of the networks (default bfloat16)",
    )
    parser.add_argument("--compile", action="store_true", help="compile the networks with torch.compile")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard events beside log.csv")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="DIR",
        help="folder of a run, a model or weights, for the initial weights",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the state of the run as one JSON line")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    check_folder(arguments.data, "--data")
    if arguments.start_from is not None:
        check_exists(arguments.start_from, "--start-from")

    from virtual_codec.training import train

    request = _request(arguments)
    if len(arguments.recipes) > 1:
        from virtual_codec.training.side_by_side import train_side_by_side

        reports = train_side_by_side(arguments.recipes, request)
    else:
        reports = [train(request)]
    if os.environ.get("RANK", "0") == "0":  # under torchrun only one of the processes prints
        for report in reports:
            _print_report(report, arguments)
    return interrupts.EXIT_STATUS if any(report.interrupted for report in reports) else 0


def _request(arguments: argparse.Namespace) -> TrainRequest:
    from virtual_codec.training import RunOptions, TrainRequest

    return TrainRequest(
        recipe=arguments.recipes[0],
        data=arguments.data,
        steps=arguments.steps,
        batch=arguments.batch,
        crop=arguments.crop,
        start_from=arguments.start_from,
        run=RunOptions(
            out=arguments.out,
            seed=arguments.seed,
            device=check_device(arguments.device or first_device()),
            threads=arguments.threads,
            resume=arguments.resume,
            time_limit_s=arguments.time_limit,
            paced_by_time=arguments.pace == "time",
            codec=arguments.codec,
            show_progress=not arguments.quiet,
            bfloat16=arguments.precision == "bfloat16",
            compiled=arguments.compile,
            tensorboard=arguments.tensorboard,
        ),
    )


def _print_report(report: TrainReport, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{report.recipe}: step {report.step} of {report.steps} after {report.seconds:.0f} s")
    if report.has_diverged:
        kept = f"the weights of step {report.best_step} are kept, and another run can start from them (--start-from)"
        print(f"vcodec: stopped: validation fell more than 0.5 dB below its best; {kept}", file=sys.stderr)
    if report.interrupted:
        kept = f"the checkpoint is in {arguments.out}; --resume continues from it"
        print(f"vcodec: interrupted; {kept}", file=sys.stderr)


def _recipes() -> str:
    from virtual_codec.training.recipes import RECIPES, summary_of

    lines = [f"  {name:<26}{summary_of(recipe)}" for name, recipe in RECIPES.items()]
    return "\n".join(["recipes:", *lines])


VERB: Final = Verb(summary="train a network by a recipe", add_arguments=_add_arguments, run=_run, epilog=_recipes)
