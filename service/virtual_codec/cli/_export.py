"""`vcodec export`: training runs as a model in a store, with its measured tables and card; a store as a website."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from virtual_codec import interrupts
from virtual_codec.cli._file_io import write
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._open import add_codec_arguments, check_device, check_store, default_store_root, first_device
from virtual_codec.cli._verb import Misuse, Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="folders that `vcodec train` made, or folders of weights with a networks.json",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the new model")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of the training images; the held-out ones measure the model's tables",
    )
    parser.add_argument(
        "--web",
        type=Path,
        metavar="FOLDER",
        help="write the files that restore in browsers, of all models in the store, for a static host; takes no RUN",
    )
    parser.add_argument(
        "--onnx",
        type=Path,
        metavar="FOLDER",
        help="write the post-processing networks of all models in the store as ONNX files (extra `onnx`); takes no RUN",
    )
    parser.add_argument(
        "--notes", type=Path, metavar="FILE", help="Markdown file for the model card: data, commands, time"
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
        help="licence of the images trained on; may be repeated, the most frequent first",
    )
    parser.add_argument(
        "--make-default",
        action="store_true",
        help="make it the store's default model, as the first model of a store is",
    )
    parser.add_argument("--force", action="store_true", help="replace files of --web or --onnx that exist and differ")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_codec_arguments(parser)


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    store = arguments.model_store or default_store_root()
    if arguments.web is not None:
        if arguments.runs or arguments.name or arguments.data:
            raise Misuse("--web writes the store as it is; export the runs first, without it")
        return _export_web(check_store(store), arguments.web, force=arguments.force)
    if arguments.onnx is not None:
        if arguments.runs or arguments.name or arguments.data:
            raise Misuse("--onnx writes the store as it is; export the runs first, without it")
        return _export_onnx(check_store(store), arguments.onnx, force=arguments.force)
    if not (arguments.runs and arguments.name and arguments.data):
        raise Misuse("a RUN, --name and --data are needed; or --web FOLDER or --onnx FOLDER alone")
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

    The manifest of a site is its last file, so it names only files that are there.
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
        print(f"it is the default model of {store}")
    else:
        print(f"the default model of {store} is still {default}; its file CURRENT names it")
    if not (manifest.licence and manifest.data_licences):
        print("vcodec: --licence and --data-licence state what the weights may be used for", file=sys.stderr)
    return 0


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text.strip()


VERB: Final = Verb(
    summary="make a model of finished trainings, files for browsers, or ONNX files",
    add_arguments=_add_arguments,
    run=_run,
)
