"""`vcodec export`: a model from training runs, or a store's models as files for browsers or as ONNX files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from virtual_codec import interrupts
from virtual_codec.cli._file_io import write
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._inputs import check_exists, check_folder
from virtual_codec.cli._open import add_codec_arguments, check_device, check_store, default_store_root, first_device
from virtual_codec.cli._verb import Misuse, Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="folders of finished runs of `vcodec train`, or folders of weights with a networks.json",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the new model")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of the training images; the model's tables are measured on the held-out ones",
    )
    parser.add_argument(
        "--web",
        type=Path,
        metavar="FOLDER",
        help="write files that restore in browsers, for all models of the store, for a static host; without RUN",
    )
    parser.add_argument(
        "--onnx",
        type=Path,
        metavar="FOLDER",
        help="write the post-processing networks of all models of the store as ONNX files (extra `onnx`); without RUN",
    )
    parser.add_argument(
        "--notes", type=Path, metavar="FILE", help="Markdown file for the model card, such as data, commands and times"
    )
    parser.add_argument(
        "--for-devices",
        default="",
        metavar="KIND,...",
        help="kinds of devices that the model is meant for, such as cuda (default: any)",
    )
    parser.add_argument(
        "--licence",
        type=_text,
        metavar="NAME",
        help="licence of the weights, such as Apache-2.0 or CC-BY-4.0",
    )
    parser.add_argument(
        "--data-licence",
        type=_text,
        action="append",
        default=[],
        metavar="NAME",
        help="licence of the training images; may be repeated, the most frequent first",
    )
    parser.add_argument(
        "--make-default",
        action="store_true",
        help="make the new model the store's default (the first model of a store always is)",
    )
    parser.add_argument("--force", action="store_true", help="replace files of --web or --onnx that exist and differ")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_codec_arguments(parser)


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    store = arguments.model_store or default_store_root()
    if arguments.web is not None:
        if arguments.runs or arguments.name or arguments.data:
            raise Misuse("--web writes models of the store; export the runs first, without --web")
        return _export_web(check_store(store), arguments.web, force=arguments.force)
    if arguments.onnx is not None:
        if arguments.runs or arguments.name or arguments.data:
            raise Misuse("--onnx writes models of the store; export the runs first, without --onnx")
        return _export_onnx(check_store(store), arguments.onnx, force=arguments.force)
    if not (arguments.runs and arguments.name and arguments.data):
        raise Misuse("give a RUN, --name and --data; or --web FOLDER or --onnx FOLDER alone")
    return _export_runs(arguments, store)


def _export_web(store: Path, folder: Path, *, force: bool) -> int:
    from virtual_codec.store import ModelStore
    from virtual_codec.web import WebSite

    files = WebSite().export(ModelStore(store, tolerant=True))
    return _write_all({folder / file.path: file.content for file in files}, folder, force=force)


def _export_onnx(store: Path, folder: Path, *, force: bool) -> int:
    from virtual_codec.onnx_export import onnx_files
    from virtual_codec.store import ModelStore

    opened = ModelStore(store, tolerant=True)
    files = [file for model in opened.models() for file in onnx_files(opened, model)]
    return _write_all({folder / file.name: file.content for file in files}, folder, force=force)


def _write_all(files: Mapping[Path, bytes], folder: Path, *, force: bool) -> int:
    """Write files in their order. Without `force` nothing is written if a file exists with other content.

    The manifest of a site is its last file, so all files that it names exist.
    """
    differing = [path for path, content in files.items() if path.exists() and not _holds(path, content)]
    if differing and not force:
        print(f"vcodec: {differing[0]} exists and differs; --force replaces it", file=sys.stderr)
        return 1
    for path, content in files.items():
        write(path, content, force=True)
    print(f"{folder}: {len(files)} files, {sum(len(content) for content in files.values()):,} bytes")
    return 0


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _export_runs(arguments: argparse.Namespace, store: Path) -> int:
    for run in arguments.runs:
        check_folder(run, "RUN")
    check_folder(arguments.data, "--data")
    if arguments.notes is not None:
        check_exists(arguments.notes, "--notes")

    from virtual_codec.store import ModelStore
    from virtual_codec.training.export import ExportRequest, export

    interrupts.raise_keyboard_interrupt()
    manifest = export(
        ExportRequest(
            runs=tuple(arguments.runs),
            data=arguments.data,
            store=store,
            name=arguments.name,
            notes=arguments.notes.read_text(encoding="utf-8") if arguments.notes else "",
            make_default=arguments.make_default,
            licence=arguments.licence or "",
            data_licences=tuple(arguments.data_licence),
            show_progress=not arguments.quiet,
            device=check_device(arguments.device or first_device()),
            devices=tuple(filter(None, arguments.for_devices.split(","))),
        )
    )
    default = ModelStore(store, tolerant=True).default.name
    print(f"{store / manifest.name}: model {manifest.name} ({manifest.id}), {', '.join(sorted(manifest.networks))}")
    if default == manifest.name:
        print(f"{manifest.name} is the default model of {store}")
    else:
        print(f"the default model of {store} is still {default}, by its file CURRENT")
    if not (manifest.licence and manifest.data_licences):
        print("vcodec: no licences stated; give --licence and --data-licence", file=sys.stderr)
    return 0


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text.strip()


VERB: Final = Verb(
    summary="make a model from finished training runs, files for browsers, or ONNX files",
    add_arguments=_add_arguments,
    run=_run,
)
