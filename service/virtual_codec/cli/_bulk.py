"""`vcodec bulk`: conversion of whole folders and object stores, with continuation of interrupted runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from virtual_codec import interrupts
from virtual_codec.cli._compress import SUFFIXES, add_option_arguments, parse_options
from virtual_codec.cli._decompress import FORMATS, STREAMS
from virtual_codec.cli._files import IMAGES
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._open import add_codec_arguments, check_store, load_settings
from virtual_codec.cli._verb import Misuse, Verb, positive
from virtual_codec.jobs import CompressOptions, RestoreOptions

if TYPE_CHECKING:
    from virtual_codec.bulk import Plan, Shard
    from virtual_codec.serving import Pool
    from virtual_codec.settings import Settings

_EPILOG: Final = """\
SRC and DST are folders, or URLs such as s3://bucket/prefix (extra `bulk`; other stores need their fsspec package).
DST/.vcodec-bulk holds the manifest of earlier runs. The same command again continues an interrupted or killed run,
retries failed files, and converts new and changed ones. Files in DST that no bulk run wrote are never replaced.
Only one run at a time may write to DST, unless each run has its own --shard, as one for each node.
The report of failures is DST/.vcodec-bulk/failures.jsonl."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    for action, summary in (("compress", "compress images"), ("decompress", "restore compressed images")):
        verb = actions.add_parser(
            action,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verb.add_argument("source", metavar="SRC", help="folder or URL to read, with all folders below it")
        verb.add_argument("target", metavar="DST", help="folder or URL to write to")
        _add_run_arguments(verb)
        if action == "compress":
            add_option_arguments(verb)
        else:
            verb.add_argument("--format", choices=FORMATS, default="png", help="format of the images (default png)")


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    add_codec_arguments(parser)
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="worker processes on each device (default: one for each core)"
    )
    parser.add_argument(
        "--shard", metavar="I/N", default="0/1", help="convert only part I of N, counted from 0 (default 0/1)"
    )
    parser.add_argument("--keep-suffix", action="store_true", help="name outputs a.png.jpg instead of a.jpg")
    parser.add_argument(
        "--verify", action="store_true", help="check earlier outputs first, and convert damaged ones again"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be converted, and write nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON line for each file, and a summary")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if stderr is not a terminal"
    )


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    settings = load_settings()
    options = _options(arguments, settings)
    from virtual_codec.bulk import open_storage, opened_plan

    shard = _shard(arguments.shard)
    is_compressing = isinstance(options, CompressOptions)
    interrupts.raise_keyboard_interrupt()
    with opened_plan(
        open_storage(arguments.source),
        open_storage(arguments.target, scratch=str(shard)),
        options,
        taken=IMAGES if is_compressing else STREAMS,
        suffix=_suffix(options),
        keep_suffix=arguments.keep_suffix,
        shard=shard,
        is_dry=arguments.dry_run,
        models=None if is_compressing else _models(arguments, settings),
    ) as plan:
        if arguments.verify:
            _verify(plan, arguments)
        return _show(plan, arguments) if arguments.dry_run else _convert(plan, arguments, settings)


def _suffix(options: CompressOptions | RestoreOptions) -> str:
    if isinstance(options, RestoreOptions):
        return f".{options.output}"
    return SUFFIXES.get(options.codec, (f".{options.codec}",))[0]


def _options(arguments: argparse.Namespace, settings: Settings) -> CompressOptions | RestoreOptions:
    """Options with an explicit model, so that a later run cannot continue with another one."""
    from virtual_codec.store import ModelStore, check_compresses

    options: Any = (
        parse_options(arguments) if arguments.action == "compress" else RestoreOptions(output=FORMATS[arguments.format])
    )
    store = ModelStore(check_store(arguments.model_store or settings.model_store), tolerant=True)
    codec = options.codec if isinstance(options, CompressOptions) else "jpeg"
    model = store.default_of(codec) if options.model is None else store.get(options.model)
    if isinstance(options, CompressOptions):
        check_compresses(model, options.codec, options.scale)
    named: CompressOptions | RestoreOptions = replace(options, model=model.id)
    return named


def _models(arguments: argparse.Namespace, settings: Settings) -> dict[str, str]:
    """Ids of the models for files of other encoders, so that a model that is added meanwhile changes nothing."""
    from virtual_codec.images import RESTORABLE
    from virtual_codec.store import ModelStore

    store = ModelStore(arguments.model_store or settings.model_store, tolerant=True)
    return {codec: store.default_of(codec).id for codec in RESTORABLE}


def _shard(text: str) -> Shard:
    from virtual_codec.bulk import Shard

    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise Misuse(f"--shard must be INDEX/COUNT, such as 0/8; got {text}")
    return Shard(index=int(index), count=int(count))


def _verify(plan: Plan, arguments: argparse.Namespace) -> None:
    from virtual_codec.bulk import verify

    damaged = verify(plan)
    if not arguments.quiet:
        print(f"vcodec: {damaged} earlier outputs are missing or damaged", file=sys.stderr)


def _show(plan: Plan, arguments: argparse.Namespace) -> int:
    """Print the tasks of a dry run."""
    from virtual_codec.bulk import printable

    for chunk in plan.index.tasks(done=False, size=1024):
        for task in chunk:
            if arguments.json:
                print(json.dumps({"input": task.source, "output": task.output, "input_bytes": task.source_bytes}))
            elif not arguments.quiet:
                print(f"{printable(task.source)} -> {printable(task.output)}")
    if not arguments.quiet:
        (left, left_bytes), (kept, _) = plan.index.count(done=False), plan.index.count(done=True)
        print(f"{left} to do ({left_bytes / 1e6:.1f} MB), {kept} done before", file=sys.stderr)
    return 0


def _convert(plan: Plan, arguments: argparse.Namespace, settings: Settings) -> int:
    from virtual_codec.bulk import BulkPolicy, Progress, convert_all

    (left, _), (kept, _) = plan.index.count(done=False), plan.index.count(done=True)
    progress = Progress(
        total=left + kept,
        kept=kept,
        is_json=arguments.json,
        is_quiet=arguments.quiet,
        shows_bar=arguments.progress,
    )
    pool, workers, parallel = _open_pool(plan.options.model, arguments, settings, left)
    try:
        convert_all(plan, pool, progress, limits=settings.image_limits, policy=BulkPolicy(parallel=parallel))
    finally:
        progress.close(workers)
    if progress.totals.failed and not arguments.quiet:
        print(f"vcodec: failures are listed in {plan.target.url}/{plan.report}", file=sys.stderr)
    return 1 if progress.totals.failed else 0


def _open_pool(
    model: str | None, arguments: argparse.Namespace, settings: Settings, left: int
) -> tuple[Pool, int, int]:
    """Pool, its number of workers, and the number of files in progress that keeps them busy."""
    from virtual_codec.cores import usable_cores
    from virtual_codec.serving import DEVICE_PROCESS, PoolPolicy, find_devices, open_pool

    devices = find_devices(arguments.device or settings.devices)
    cores = usable_cores()
    on_cpu = all(device == "cpu" for device in devices)
    each = max(1, min(arguments.jobs or cores // len(devices), left))
    opening: dict[str, object] = {
        "store": arguments.model_store or settings.model_store,
        "limits": settings.image_limits,
        "max_effort": 9,
        "model": model,
    }
    policy = PoolPolicy(
        devices=",".join(devices),
        workers_per_device=each,
        threads=1 if on_cpu else None,  # CPU workers divide the cores; GPU workers need several jobs at the same time
        cores=cores,
        device_factory=DEVICE_PROCESS,
        standby="off",
        queue_limit_s=1e9,  # no limit, because files wait in the storage and not in the queue
        stop_grace_s=1.0,
    )
    workers = each * len(devices)
    return open_pool("local", opening, policy), workers, workers * (2 if on_cpu else 4 if each > 1 else 24)


VERB: Final = Verb(
    summary="convert folders and object stores, and continue interrupted runs",
    add_arguments=_add_arguments,
    run=_run,
)
