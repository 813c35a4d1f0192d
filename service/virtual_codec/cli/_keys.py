"""`vcodec keys`: creation of API keys, and a listing of those in a file."""

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
        help="make a key and print it, this once",
        description="Make a key. It prints the key, this once, and its entry for VCODEC_API_KEYS or a key file.",
        allow_abbrev=False,
    )
    new.add_argument("id", metavar="ID", help="name of the key in logs and metrics: letters, digits, . _ -")
    new.add_argument(
        "--file", type=Path, metavar="FILE", help="key file to add the entry to; it is made if there is none"
    )
    new.add_argument(
        "--requests", metavar="RATE", help="requests that the key may send: 60/minute, 60/minute;5000/day, unlimited"
    )
    new.add_argument("--megapixels", metavar="RATE", help="megapixels that the key may send: 500/hour, unlimited")
    listing = actions.add_parser("list", help="list the keys of a file", allow_abbrev=False)
    listing.add_argument("--file", type=Path, metavar="FILE", required=True)
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
    # One write at the end of the file: a server that reads at this moment sees the line, or none of it.
    before = file.read_bytes()[-1:] if file.exists() else b""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (("" if before in (b"", b"\n") else "\n") + entry + "\n").encode())
    finally:
        os.close(descriptor)


VERB: Final = Verb(summary="make API keys and list those of a file", add_arguments=_add_arguments, run=_run)
