"""`vcodec models`: listing of the model store, and change of a running server's default model."""

from __future__ import annotations

import argparse
import json
import urllib.parse
from typing import Final

from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._open import add_store_argument, check_store, default_store_root, load_settings
from virtual_codec.cli._verb import Misuse, Verb
from virtual_codec.errors import VirtualCodecError

_ORDER_TIMEOUT_S: Final = 600.0  # the workers load the model one after another


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the models as one JSON line, as in GET /models")
    parser.add_argument("--activate", metavar="NAME", help="make model NAME the default of a running server")
    parser.add_argument(
        "--reload",
        action="store_true",
        help="make a running server reread its store, with the default model that CURRENT names",
    )
    parser.add_argument(
        "--url", help="address of the server's admin port (default: http://127.0.0.1:VCODEC_ADMIN_PORT)"
    )


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    if arguments.activate is not None or arguments.reload:
        return _order(arguments)
    if arguments.url is not None:
        raise Misuse("--url needs --activate or --reload")
    from virtual_codec.store import ModelStore

    store = ModelStore(check_store(arguments.model_store or default_store_root()))
    models = store.models()
    default = store.default.id if models else ""
    if arguments.json:
        fields = {"id", "name", "codecs", "scales", "created", "metrics", "retired", "licence", "data_licences"}
        described = [
            {name: getattr(model, name) for name in sorted(fields)} | {"default": model.id == default}
            for model in models
        ]
        print(json.dumps(described))
        return 0
    rows = [("", "NAME", "ID", "CREATED", "SCALES", "CODECS", "LICENCE", "")]
    rows += [
        (
            "*" if model.id == default else "",
            model.name,
            model.id,
            model.created,
            ",".join(map(str, model.scales)),
            ",".join(model.codecs),
            model.licence or "not stated",
            "retired" if model.retired else ",".join(model.devices),
        )
        for model in models
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for model in models:
        if model.data_licences:
            print(f"{model.name} was trained on pictures under: {', '.join(model.data_licences)}")
    return 0


def _order(arguments: argparse.Namespace) -> int:
    if arguments.activate is not None and arguments.reload:
        raise Misuse("give --activate or --reload, not both")
    url = arguments.url or _admin_url()
    path = "reload" if arguments.reload else f"{urllib.parse.quote(arguments.activate, safe='')}/activate"
    print(json.dumps(_post(f"{url.rstrip('/')}/admin/models/{path}")))
    return 0


def _admin_url() -> str:
    port = load_settings().admin_port
    if not port:
        raise Misuse("the server's admin port is unknown: give --url http://127.0.0.1:PORT, or set VCODEC_ADMIN_PORT")
    return f"http://127.0.0.1:{port}"


def _post(url: str) -> object:
    """Send a POST and return the JSON of its answer. Raises `VirtualCodecError` with the server's message."""
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener

    if not url.startswith(("http://", "https://")):
        raise Misuse(f"--url must begin with http:// or https://, got {url.partition('/admin/')[0]!r}")
    opener = build_opener(ProxyHandler({}))  # no proxy, because the port listens on this machine only
    try:
        order = Request(url, method="POST")  # noqa: S310  # the scheme has been checked
        with opener.open(order, timeout=_ORDER_TIMEOUT_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            problem = json.load(error) if error.headers.get_content_type() == "application/problem+json" else {}
        raise VirtualCodecError(problem.get("detail") or f"{url} answers {error.code} {error.reason}") from error
    except URLError as error:
        raise VirtualCodecError(f"{url} cannot be reached: {error.reason}") from error


VERB: Final = Verb(
    summary="list the models (* marks the default), or change the default of a running server",
    add_arguments=_add_arguments,
    run=_run,
)
