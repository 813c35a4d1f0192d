"""`vcodec serve`: the HTTP service, configured by environment variables."""

from __future__ import annotations

import argparse
from typing import Final

from service.cli._open import OpenCodec
from service.cli._verb import Misuse, Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="ADDRESS", help="in place of VCODEC_HOST")
    parser.add_argument("--port", type=int, metavar="N", help="in place of VCODEC_PORT")
    parser.add_argument("--check", action="store_true", help="print the settings in force as JSON, and end")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    from pydantic import ValidationError

    from service.settings import Settings

    flags = {name: getattr(arguments, name) for name in ("host", "port")}
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise Misuse(f"the settings are wrong: {error}") from error
    if arguments.check:
        print(settings.model_dump_json(indent=2))
        return 0
    from service.api.server import run

    run(settings)
    return 0


VERB: Final = Verb(summary="answer over HTTP", add_arguments=_add_arguments, run=_run)
