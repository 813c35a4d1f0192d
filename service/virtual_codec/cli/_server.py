"""Codec of a running server, for the option `--url`."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from typing import TYPE_CHECKING, Final, final

from virtual_codec.cli._image_codec import CodecConfig, ImageCodec, OpenCodec
from virtual_codec.cli._verb import Misuse, positive
from virtual_codec.jobs import CompressOptions, CompressResult, RestoreOptions, RestoreResult

if TYPE_CHECKING:
    from virtual_codec.client import Client

API_KEY: Final = "VCODEC_API_KEY"
REQUESTS: Final = 4


@final
class ServerCodec:
    """Codec of a server. Safe to use from several threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def compress(self, data: bytes, options: CompressOptions | None = None) -> CompressResult:
        """Compress an image file. Raises the errors that the server answers with."""
        options = options or CompressOptions()
        given = {item.name: getattr(options, item.name) for item in fields(options)}
        changed = {item.name: given[item.name] for item in fields(options) if given[item.name] != item.default}
        return self._client.compress(data, **changed).result

    def restore(self, data: bytes, options: RestoreOptions | None = None) -> RestoreResult:
        """Restore a stream. Raises as `compress` does."""
        return self._client.restore_result(data, output=(options or RestoreOptions()).output)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for a server."""
    parser.add_argument(
        "--url", metavar="URL", help="send the work to a running server, such as http://127.0.0.1:8000 (extra `client`)"
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help=f"API key for that server (default: {API_KEY}, which is safer, because process lists show options)",
    )
    parser.add_argument(
        "--requests",
        type=positive,
        metavar="N",
        help=f"images sent to that server at the same time (default {REQUESTS})",
    )


def server_opener(arguments: argparse.Namespace) -> OpenCodec | None:
    """Opener of the server's codec, or None without `--url`.

    Raises `Misuse` for options that contradict `--url`. The opener raises the server's error if it cannot be used.
    """
    if arguments.url is None:
        for name in ("api_key", "requests"):
            if getattr(arguments, name) is not None:
                raise Misuse(f"--{name.replace('_', '-')} needs --url")
        return None
    wrong = next((name for name in ("device", "model_store") if getattr(arguments, name) is not None), None)
    if wrong is not None:
        raise Misuse(f"--{wrong.replace('_', '-')} has no effect on a server; give it without --url")
    try:
        from virtual_codec.client import Client

        client = Client(arguments.url, api_key=arguments.api_key or os.environ.get(API_KEY) or None)
    except (ImportError, ValueError) as error:
        raise Misuse(str(error)) from error

    def opened(_config: CodecConfig) -> ImageCodec:
        try:
            client.models()  # otherwise every file would fail with the same wrong address or key
        except BaseException:
            client.close()
            raise
        return ServerCodec(client)

    return opened
