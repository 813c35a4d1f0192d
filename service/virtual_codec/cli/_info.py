"""`vcodec info`: facts about streams and other image files."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from virtual_codec.cli._file_io import read
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._report import format_size
from virtual_codec.cli._verb import Verb
from virtual_codec.errors import VirtualCodecError

if TYPE_CHECKING:
    from virtual_codec.inspection import StreamInfo


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="FILE", help='image files, or "-" for stdin')
    parser.add_argument("--json", action="store_true", help="print one JSON line for each file")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    from virtual_codec.inspection import info

    status = 0
    for name in arguments.inputs:
        try:
            found = info(read(Path(name)))
        except (VirtualCodecError, OSError) as error:
            status = 1
            reason = error.strerror if isinstance(error, OSError) else None
            print(f"vcodec: {name}: {reason or error}", file=sys.stderr)
            continue
        print(json.dumps({"input": name, **asdict(found)}) if arguments.json else _as_line(name, found))
    return status


def _as_line(name: str, found: StreamInfo) -> str:
    facts = [f"{found.format}, {format_size(found.size_bytes)}, {found.rate_bpp:.4f} bpp"]
    if found.model is not None:
        post_processing = ", shown as decoded" if found.shows_decoded else ""
        facts.append(f"model {found.model}, scale {found.scale}{post_processing}")
        facts.append(f"a viewer shows {found.width}x{found.height}")
        facts.append(f"restored {found.restored_width}x{found.restored_height}")
    else:
        facts.append(f"{found.width}x{found.height}, not a stream of vcodec")
    if found.mean_steps is not None:
        steps = ", ".join(f"{step:g}" for step in found.mean_steps)
        facts.append(f"{found.process}, {found.sampling}, scans {found.scans}, mean quantiser steps {steps}")
    return f"{name}: {'; '.join(facts)}"


VERB: Final = Verb(
    summary="print size, rate, model and other facts about image files", add_arguments=_add_arguments, run=_run
)
