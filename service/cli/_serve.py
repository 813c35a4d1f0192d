"""`vcodec serve`: the HTTP service."""

from __future__ import annotations

import argparse
import textwrap
from typing import Final

from service.cli._open import OpenCodec, load_settings
from service.cli._verb import Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="ADDRESS", help="in place of VCODEC_HOST")
    parser.add_argument("--port", type=int, metavar="N", help="in place of VCODEC_PORT")
    parser.add_argument("--check", action="store_true", help="print the settings in force as JSON, and end")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    flags = {name: getattr(arguments, name) for name in ("host", "port")}
    settings = load_settings(**{name: value for name, value in flags.items() if value is not None})
    if arguments.check:
        print(settings.model_dump_json(indent=2))
        return 0
    from service.api.server import run

    run(settings)
    return 0


def _environment() -> str:
    """Every variable with its default and meaning, for people."""
    from service.settings import describe

    lines = ["settings, as environment variables (default):"]
    for setting in describe():
        lines.append(f"  {setting.variable} ({setting.default})")
        lines += textwrap.wrap(setting.meaning, 90, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


VERB: Final = Verb(summary="answer over HTTP", add_arguments=_add_arguments, run=_run, epilog=_environment)
