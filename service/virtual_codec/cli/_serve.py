"""`vcodec serve`: start of the HTTP service."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import TYPE_CHECKING, Final

from virtual_codec import interrupts
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._open import check_store, load_settings
from virtual_codec.cli._verb import Misuse, Verb
from virtual_codec.errors import VirtualCodecError
from virtual_codec.serving import POOLS, open_pool

if TYPE_CHECKING:
    from virtual_codec.settings import Settings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: VCODEC_HOST)")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on (default: VCODEC_PORT)")
    parser.add_argument("--pool", choices=list(POOLS), help="pool of workers that runs jobs (default: VCODEC_POOL)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="print the settings as JSON, check models and keys, and exit with status 0 or 2 without serving",
    )


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    flags = {name: getattr(arguments, name) for name in ("host", "port", "pool")}
    settings = load_settings(**{name: value for name, value in flags.items() if value is not None})
    check_store(settings.model_store)
    if arguments.check:
        return _check(settings)
    from virtual_codec.api.server import run

    interrupts.raise_keyboard_interrupt()
    run(settings)
    return 0


def _check(settings: Settings) -> int:
    """Print the settings in force, and open the model store and the key file without serving."""
    from virtual_codec.keys import KeyRing
    from virtual_codec.settings import unknown_variables
    from virtual_codec.store import ModelStore

    for name, meant in unknown_variables():
        hint = f"did you mean {meant}?" if meant else "`vcodec serve --help` lists the variables"
        print(f"vcodec: {name} is not a setting; {hint}", file=sys.stderr)
    print(settings.model_dump_json(indent=2))
    try:
        open_pool(settings.pool, {})  # checks the pool's requirements without starting it
        store = ModelStore(settings.model_store, tolerant=True)
        default = store.default
        if settings.requires_keys:
            KeyRing(settings.keys, settings.api_keys_file)
        if settings.quota_storage is not None:
            from virtual_codec.api.app import open_quotas

            open_quotas(settings)
    except (VirtualCodecError, OSError, ValueError) as error:
        raise Misuse(str(error)) from error
    for name, reason in store.damaged.items():
        print(f"vcodec: model {name} is skipped: {reason}", file=sys.stderr)
    print(f"vcodec: ready to serve {default.name} ({default.id})", file=sys.stderr)
    return 0


def _environment() -> str:
    """Help text for the environment variables: each with its default and meaning."""
    from virtual_codec.settings import describe

    lines = ["settings, as environment variables (default):"]
    for setting in describe():
        lines.append(f"  {setting.variable} ({setting.default})")
        text = f"{setting.meaning} ({setting.allowed})" if setting.allowed else setting.meaning
        lines += textwrap.wrap(text, 90, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


VERB: Final = Verb(
    summary="serve compression and restoring over HTTP", add_arguments=_add_arguments, run=_run, epilog=_environment
)
