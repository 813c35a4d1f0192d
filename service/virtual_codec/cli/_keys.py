"""`vcodec keys`: creation of API keys, and listing of the keys in a file."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Final

from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._verb import Misuse, Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="create a key and print it once",
        description="Create a key. Prints it, once only, and its entry for VCODEC_API_KEYS or a key file.",
        allow_abbrev=False,
    )
    new.add_argument("id", metavar="ID", help="name of the key in logs and metrics: letters, digits, . _ -")
    new.add_argument("--file", type=Path, metavar="FILE", help="key file for the entry; created if it does not exist")
    new.add_argument(
        "--requests",
        metavar="RATE",
        help="limit on the key's requests: 60/minute, 60/minute;5000/day, unlimited (default: the server's)",
    )
    new.add_argument(
        "--megapixels",
        metavar="RATE",
        help="limit on the key's megapixels: 500/hour, unlimited (default: the server's)",
    )
    listing = actions.add_parser("list", help="list the keys of a file", allow_abbrev=False)
    listing.add_argument("--file", type=Path, metavar="FILE", required=True, help="key file")
    for action in (new, listing):
        action.add_argument("--json", action="store_true", help="print one line of JSON")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    return _new(arguments) if arguments.action == "new" else _list(arguments)


def _new(arguments: argparse.Namespace) -> int:
    from virtual_codec.keys import check_distinct, new_key, read_keys

    try:
        secret, key = new_key(arguments.id, requests=arguments.requests, megapixels=arguments.megapixels)
        if arguments.file is not None and arguments.file.exists():
            check_distinct([*read_keys(arguments.file), key])
    except ValueError as error:
        raise Misuse(str(error)) from error
    if arguments.file is not None:
        _append(arguments.file, key.entry)
    if arguments.json:
        print(json.dumps({"id": key.id, "key": secret, "entry": key.entry}))
    else:
        print(f"key    {secret}\nentry  {key.entry}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from virtual_codec.keys import read_keys

    try:
        keys = read_keys(arguments.file)
    except ValueError as error:
        raise Misuse(str(error)) from error
    if arguments.json:
        print(json.dumps([{"id": key.id, "requests": key.requests, "megapixels": key.megapixels} for key in keys]))
        return 0
    for key in keys:
        rates = [f"{name} {getattr(key, name)}" for name in ("requests", "megapixels") if getattr(key, name)]
        print("  ".join([key.id, *rates]))
    return 0


def _append(file: Path, entry: str) -> None:
    # The line is appended by a single write, so a server that reads at this time sees all of it or nothing.
    before = file.read_bytes()[-1:] if file.exists() else b""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (("" if before in (b"", b"\n") else "\n") + entry + "\n").encode())
    finally:
        os.close(descriptor)


VERB: Final = Verb(summary="create API keys, and list the keys of a file", add_arguments=_add_arguments, run=_run)
