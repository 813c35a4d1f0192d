"""Command line `vcodec`: one verb for each task of this project.

To add a verb, write one module here and add one row to `VERBS`. Verbs import heavy modules only when they run, so
`--help` is fast. Results go to stdout, everything else to stderr. The exit status is 0 for success, 1 if something
failed (the rest is done), 2 for misuse (nothing is done) and 130 after an interrupt (`virtual_codec.interrupts`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final, final

from virtual_codec import __version__, interrupts
from virtual_codec.cli import (
    _bench,
    _bulk,
    _compare,
    _completion,
    _compress,
    _decompress,
    _evaluate,
    _export,
    _info,
    _keys,
    _models,
    _serve,
    _train,
)
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._open import open_default_codec
from virtual_codec.cli._stdout import discard_stdout, stdout_problem
from virtual_codec.cli._verb import Misuse, Verb
from virtual_codec.errors import BadOption, NotFound, VirtualCodecError

VERBS: Final[dict[str, Verb]] = {
    "serve": _serve.VERB,
    "compress": _compress.VERB,
    "decompress": _decompress.VERB,
    "info": _info.VERB,
    "compare": _compare.VERB,
    "bulk": _bulk.VERB,
    "train": _train.VERB,
    "export": _export.VERB,
    "evaluate": _evaluate.VERB,
    "models": _models.VERB,
    "bench": _bench.VERB,
    "keys": _keys.VERB,
    "completion": _completion.VERB,
}


def main(argv: Sequence[str] | None = None, *, open_codec: OpenCodec = open_default_codec) -> int:
    """Run one command and return its exit status. `open_codec` opens the codec for images."""
    try:
        return _run(argv, open_codec)
    except KeyboardInterrupt:
        pass
    except Exception:
        if not interrupts.was_interrupted():
            raise
    print("vcodec: interrupted", file=sys.stderr)
    return interrupts.EXIT_STATUS


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line; parsed arguments have a `verb`."""
    parser = argparse.ArgumentParser(
        prog="vcodec",
        description="Compress images to standard JPEG, WebP, AVIF and JPEG 2000 files, restored by a neural network.",
        epilog="`vcodec VERB --help` explains a verb.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"vcodec {__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True, parser_class=_VerbParser)
    for name, verb in VERBS.items():
        verb_parser = verbs.add_parser(
            name,
            help=verb.summary,
            description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verb_parser.make_epilog = verb.epilog
        verb.add_arguments(verb_parser)
    return parser


def _run(argv: Sequence[str] | None, open_codec: OpenCodec) -> int:
    if sys.__stdout__ is None:  # stdout is closed, as by `>&-` in a shell, so results would be lost
        print("vcodec: stdout is closed; send it to a file or to /dev/null", file=sys.stderr)
        return 2
    parser = make_parser()
    try:
        arguments = _with_late_inputs(*parser.parse_known_args(argv))
        status = VERBS[arguments.verb].run(arguments, open_codec)
        if interrupts.was_interrupted():  # a library may have caught the exception
            raise KeyboardInterrupt
        return _after_flush(status)
    except SystemExit as ended:  # argparse: 0 after --help, 2 on misuse
        return ended.code if isinstance(ended.code, int) else 2
    except (Misuse, BadOption, NotFound) as error:  # raised before any work begins
        print(f"vcodec: {error}", file=sys.stderr)
        return 2
    except (VirtualCodecError, OSError) as error:
        if interrupts.was_interrupted():
            raise
        if isinstance(error, BrokenPipeError):  # from a `print` that flushed a full buffer
            discard_stdout()
            print(f"vcodec: {stdout_problem(error)}", file=sys.stderr)
        else:
            print(f"vcodec: {_without_number(error)}", file=sys.stderr)
        return 1


def _after_flush(status: int) -> int:
    """Flush stdout and return the exit status, which is 1 if that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_stdout()
        print(f"vcodec: {stdout_problem(error)}", file=sys.stderr)
        return 1
    return status


def _with_late_inputs(arguments: argparse.Namespace, unknown: list[str]) -> argparse.Namespace:
    """Add inputs after an option to the other inputs. In `compress a -o out b`, argparse does not recognise `b`."""
    wrong = [text for text in unknown if text.startswith("-") or not hasattr(arguments, "inputs")]
    if wrong:
        raise Misuse(f"unrecognized: {wrong[0]}; `vcodec {arguments.verb} --help` lists the options")
    if unknown:
        arguments.inputs += unknown
    return arguments


def _without_number(error: Exception) -> str:
    """Message of an error, without the number in messages of the operating system."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


@final
class _VerbParser(argparse.ArgumentParser):
    """Parser of one verb. It makes the epilog only for `--help`, because that of `serve` needs slow imports."""

    make_epilog: Callable[[], str] | None = None

    def format_help(self) -> str:
        self.epilog = self.make_epilog() if self.make_epilog is not None else None
        return super().format_help()
