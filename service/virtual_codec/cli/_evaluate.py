"""`vcodec evaluate`: rate-distortion measurement over a folder of images, against standard codecs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from virtual_codec.cli._image_codec import CodecConfig, OpenCodec
from virtual_codec.cli._inputs import check_folder
from virtual_codec.cli._open import add_codec_arguments, check_store, default_store_root, opened_codec
from virtual_codec.cli._verb import Misuse, Verb, positive

if TYPE_CHECKING:
    from virtual_codec.evaluation import Variant
    from virtual_codec.store import ModelStore


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of test images, or of folders of them, one for each set",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figures and the report")
    parser.add_argument("--quick", action="store_true", help="measure a few images of each set at a few qualities")
    parser.add_argument(
        "--pictures", type=positive, metavar="N", help="measure at most N images of each set (default: all)"
    )
    parser.add_argument(
        "--qualities", type=_numbers, metavar="Q,Q,...", help="qualities to measure, 1-100 (default: 21 from 1 to 95)"
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME:OPTION=VALUE,...",
        help="named options to measure, such as fast:effort=1,scale=2; may be repeated (default: the default options)",
    )
    parser.add_argument(
        "--anchors",
        type=_names,
        metavar="NAME,...",
        help="standard codecs for comparison (default: jpeg,webp,jpeg2000,avif)",
    )
    parser.add_argument("--no-restored", action="store_true", help="do not restore the files of the standard codecs")
    parser.add_argument("--no-foreign", action="store_true", help="do not restore JPEGs of other encoders")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of cached figures of the standard codecs (default: ~/.cache/virtual-codec/anchors)",
    )
    parser.add_argument(
        "--ssimulacra2", action="store_true", help="also measure SSIMULACRA2, which is slow (extra `ssimulacra2`)"
    )
    parser.add_argument(
        "--jobs", type=positive, default=2, metavar="N", help="images measured at the same time (default 2)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the figures in OUT of an interrupted run with the same model"
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="write the first variant's BD-rates into the manifest and the card of its model",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON line")
    add_codec_arguments(parser)


def _run(arguments: argparse.Namespace, open_codec: OpenCodec) -> int:
    from tqdm import tqdm

    from virtual_codec.evaluation import EvaluateConfig, evaluate, record
    from virtual_codec.store import ModelStore

    given: dict[str, Any] = {
        "pictures_per_set": arguments.pictures,
        "qualities": arguments.qualities,
        "variants": tuple(map(_variant, arguments.variant)) or None,
        "anchors": arguments.anchors,
        "foreign_kinds": () if arguments.no_foreign else None,
        "cache_dir": arguments.cache,
    }
    check_folder(arguments.data, "--data")
    root = check_store(arguments.model_store or default_store_root())
    store = ModelStore(root)
    config = EvaluateConfig(
        restored=() if arguments.no_restored else _restorable(arguments.anchors, store),
        alternatives={model.id: model.alternatives for model in store.models()},
        data_dir=arguments.data,
        out_dir=arguments.out,
        quick=arguments.quick,
        workers=arguments.jobs,
        resume=arguments.resume,
        ssimulacra2=arguments.ssimulacra2,
        **{name: value for name, value in given.items() if value is not None},
    )
    codec_config = CodecConfig(model_store=arguments.model_store, device=arguments.device)
    is_shown = sys.stderr.isatty() and not arguments.quiet
    with (
        opened_codec(open_codec, codec_config) as codec,
        tqdm(total=0, file=sys.stderr, disable=not is_shown, dynamic_ncols=True) as bar,
    ):

        def show(done: int, total: int, last: str) -> None:
            bar.total = total
            bar.set_postfix_str(last, refresh=False)
            bar.update(done - bar.n)

        summary = evaluate(codec, config, progress=show)
    for note in summary.notes:
        print(f"vcodec: {note}", file=sys.stderr)
    if arguments.record:
        measured = config.variants[0]
        model = (
            store.get(measured.options.model) if measured.options.model else store.default_of(measured.options.codec)
        )
        record(summary, model, root, codec=measured.name)
    if arguments.json:
        print(json.dumps(json.loads((arguments.out / "summary.json").read_text(encoding="utf-8"))))
    else:
        print(arguments.out / "results.md")
    return 0


def _restorable(anchors: tuple[str, ...] | None, store: ModelStore) -> tuple[str, ...]:
    """Anchors for which the store has a model, without JPEG, whose files are restored as foreign JPEGs."""
    from virtual_codec.evaluation import EvaluateConfig

    names = EvaluateConfig.anchors if anchors is None else anchors
    return tuple(name for name in names if name != "jpeg" and name in store.default_of(name).codecs)


def _variant(text: str) -> Variant:
    from virtual_codec.evaluation import Variant
    from virtual_codec.jobs import CompressOptions

    name, _, options = text.partition(":")
    pairs = dict(option.partition("=")[::2] for option in options.split(",") if option)
    if not name:
        raise Misuse(f"a variant must be NAME:OPTION=VALUE,..., got {text!r}")
    return Variant(name=name, options=CompressOptions.parse(pairs))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


VERB: Final = Verb(
    summary="measure rate and distortion in comparison with standard codecs", add_arguments=_add_arguments, run=_run
)
