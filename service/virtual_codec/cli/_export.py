"""`vcodec export`: export of training runs to a model in a store, with its measured tables and card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from virtual_codec import interrupts
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._open import add_store_argument, default_store_root
from virtual_codec.cli._verb import Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders that `vcodec train` made, or folders of weights with a networks.json",
    )
    parser.add_argument("--name", required=True, metavar="NAME", help="of the new model")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="the images trained on; those held out are measured on"
    )
    parser.add_argument("--notes", type=Path, metavar="FILE", help="Markdown for the model card: data, commands, time")
    parser.add_argument("--keep-current", action="store_true", help="do not make it the store's default model")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_store_argument(parser)


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    from virtual_codec.training.export import ExportRequest, export

    interrupts.raise_keyboard_interrupt()
    manifest = export(
        ExportRequest(
            runs=tuple(arguments.runs),
            data=arguments.data,
            store=arguments.model_store or default_store_root(),
            name=arguments.name,
            notes=arguments.notes.read_text(encoding="utf-8") if arguments.notes else "",
            make_current=not arguments.keep_current,
            show_progress=not arguments.quiet,
        )
    )
    print(f"{manifest.name} ({manifest.id}): {', '.join(sorted(manifest.networks))}")
    return 0


VERB: Final = Verb(summary="make a model of finished trainings", add_arguments=_add_arguments, run=_run)
