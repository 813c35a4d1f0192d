"""`vcodec models`: what the model store holds."""

from __future__ import annotations

import argparse
import json
from typing import Final

from service.cli._open import OpenCodec, add_store_argument, default_store_root
from service.cli._verb import Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print them as one line of JSON, as GET /models does")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    from service.store import ModelStore

    store = ModelStore(arguments.model_store or default_store_root())
    models = store.models()
    default = store.default.id if models else ""
    if arguments.json:
        fields = {"id", "name", "codecs", "scales", "created", "metrics", "retired"}
        described = [
            {name: getattr(model, name) for name in sorted(fields)} | {"default": model.id == default}
            for model in models
        ]
        print(json.dumps(described))
        return 0
    rows = [("", "NAME", "ID", "CREATED", "SCALES", "CODECS", "")]
    rows += [
        (
            "*" if model.id == default else "",
            model.name,
            model.id,
            model.created,
            ",".join(map(str, model.scales)),
            ",".join(model.codecs),
            "retired" if model.retired else "",
        )
        for model in models
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


VERB: Final = Verb(summary="the models there are; * marks the default", add_arguments=_add_arguments, run=_run)
