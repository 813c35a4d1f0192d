"""Conversion of many files by one codec: the shared part of `compress` and `decompress`."""

from __future__ import annotations

import argparse
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from virtual_codec import interrupts
from virtual_codec.cancellable_threads import cancellable_threads
from virtual_codec.cli._file_io import STANDARD_STREAM, is_device, read, write
from virtual_codec.cli._files import Plan, Task, copy_of, is_itself
from virtual_codec.cli._report import Outcome, Report, format_size, progress_bar, tile_bar
from virtual_codec.cli._server import REQUESTS
from virtual_codec.cli._stdout import discard_stdout, stdout_problem
from virtual_codec.cli._verb import Misuse
from virtual_codec.errors import VirtualCodecError
from virtual_codec.jobs import LeftOut


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Content of an output file, and the facts for its line of output."""

    content: bytes = field(repr=False)
    facts: dict[str, object]
    left_out: tuple[LeftOut, ...] = ()


Converter = Callable[[bytes], Converted]


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for inputs, output and the conversion of many files."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help='files, folders (with all folders below), globs, or "-" for stdin; without -o the last one is OUT',
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help='a file with its format\'s suffix for one input, a folder for several, or "-" for stdout',
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace files that exist")
    existing.add_argument("--skip-existing", action="store_true", help="skip inputs whose output exists")
    existing.add_argument(
        "--newer", action="store_true", help="convert only inputs that are newer than their output, or that have none"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be converted, and write nothing")
    parser.add_argument("--keep-times", action="store_true", help="give outputs the modification times of their inputs")
    parser.add_argument(
        "--keep-suffix",
        action="store_true",
        help="name outputs a.png.jpg instead of a.jpg, so that a.png and a.bmp have different outputs",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line for each file")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if stderr is not a terminal"
    )


def check_operands(arguments: argparse.Namespace) -> None:
    """Take the last operand as the output if there is no -o. Raises `Misuse` for invalid operands."""
    if arguments.output is None:
        if len(arguments.inputs) < 2:
            raise Misuse("the output is missing; give a second name, or -o OUT")
        *arguments.inputs, arguments.output = arguments.inputs
    if arguments.json and arguments.output == "-":
        raise Misuse("--json and -o - cannot both write to stdout")


def convert(
    plan: Plan, arguments: argparse.Namespace, open_converter: Callable[[], AbstractContextManager[Converter]]
) -> int:
    """Convert the files of all tasks, even if some fail, and return the exit status.

    The converter is opened only if there is something to convert.
    """
    skipped = {task: reason for task in plan.tasks if (reason := _reason_to_skip(task, arguments))}
    pending = [task for task in plan.tasks if task not in skipped]
    report = Report(arguments)
    for folder in plan.unreadable:
        report.add_unreadable(folder)
    for task, reason in skipped.items():
        report.add(Outcome(task=task, skipped=reason))
    if arguments.dry_run:
        for task in pending:
            if _is_taken(task, arguments):
                report.add(_exists(task))
            else:
                report.add_planned(task)
    elif pending:
        with open_converter() as converter, progress_bar(len(pending), arguments) as bar:
            report.show_on(bar)
            for outcome in _run(pending, converter, arguments):
                report.add(outcome)
                if interrupts.was_interrupted():  # a library may have caught the exception
                    raise KeyboardInterrupt
    report.close()
    return report.exit_status


def _reason_to_skip(task: Task, arguments: argparse.Namespace) -> str:
    output = _existing_output(task, arguments)
    if output is None:
        return ""
    if arguments.skip_existing:
        return "the output exists"
    try:
        is_newer = task.source.stat().st_mtime_ns > output.stat().st_mtime_ns
    except OSError:  # the input is missing: reading it later fails with a message
        return ""
    return "the output is as new as the input" if arguments.newer and not is_newer else ""


def _existing_output(task: Task, arguments: argparse.Namespace) -> Path | None:
    """Output of an earlier run, or None: the target, or the copy that `--if-larger copy` made instead."""
    tasks = [task]
    if getattr(arguments, "if_larger", None) == "copy" and task.source != STANDARD_STREAM:
        tasks.append(copy_of(task))
    for each in tasks:
        is_file = each.target != STANDARD_STREAM and each.target.exists() and not is_device(each.target)
        if is_file and not (each is not task and is_itself(each)):
            return each.target
    return None


def _is_taken(task: Task, arguments: argparse.Namespace) -> bool:
    """True if the output exists and may not be replaced. With `--newer`, old outputs are replaced."""
    is_kept = not arguments.force and not arguments.newer
    return is_kept and task.target != STANDARD_STREAM and task.target.exists() and not is_device(task.target)


def _run(tasks: Sequence[Task], converter: Converter, arguments: argparse.Namespace) -> Iterator[Outcome]:
    if len(tasks) == 1:
        with tile_bar(arguments):
            outcome = _attempt(tasks[0], converter, arguments)
        yield outcome
        return
    at_once = min(_images_at_once(arguments), len(tasks))
    if at_once == 1:  # in this thread, so that Ctrl-C ends the work at once
        yield from (_attempt(task, converter, arguments) for task in tasks)
        return
    with cancellable_threads(at_once) as threads:  # after Ctrl-C, their jobs end at the next stage or tile
        for future in as_completed([threads.submit(_attempt, task, converter, arguments) for task in tasks]):
            yield future.result()


def _images_at_once(arguments: argparse.Namespace) -> int:
    """Number of images in progress: several with a server, 1 in this process, whose networks use all cores."""
    return arguments.requests or REQUESTS if arguments.url is not None else 1


def _attempt(task: Task, converter: Converter, arguments: argparse.Namespace) -> Outcome:
    """Convert one file. Each step handles its own errors, so that a message names the right file."""
    start = time.perf_counter()
    if _is_taken(task, arguments):
        return _exists(task)
    try:
        source = read(task.source)
    except OSError as error:
        return Outcome(task=task, problem=error.strerror or str(error), code="os")
    try:
        converted = converter(source)
    except VirtualCodecError as error:
        return Outcome(task=task, problem=str(error) or type(error).__name__, code=error.code)
    except Exception as error:  # a bug that affects one file; the others are still converted
        if interrupts.was_interrupted():
            raise KeyboardInterrupt from error
        return Outcome(task=task, problem=f"{type(error).__name__}: {error}", code="internal")
    is_larger = len(converted.content) > len(source)
    if_larger = getattr(arguments, "if_larger", None)
    if is_larger and if_larger == "skip":
        sizes = f"{format_size(len(source))} -> {format_size(len(converted.content))}"
        return Outcome(task=task, skipped=f"the output would be larger: {sizes}")
    if is_larger and if_larger == "copy":
        task = copy_of(task)
        if task.target != STANDARD_STREAM and is_itself(task):
            return Outcome(task=task, skipped="the output would be larger, and the copy would be the input itself")
        converted = Converted(content=source, facts={"copied": True})
    problem = _write(task, converted.content, arguments)
    return problem or Outcome(
        task=task,
        input_bytes=len(source),
        output_bytes=len(converted.content),
        seconds=time.perf_counter() - start,
        facts=converted.facts,
        left_out=converted.left_out,
        is_larger=is_larger and if_larger == "warn",
    )


def _write(task: Task, content: bytes, arguments: argparse.Namespace) -> Outcome | None:
    """Write an output file with its input's permissions; the outcome if that fails."""
    mode = mtime_ns = None
    try:
        if task.source != STANDARD_STREAM:
            status = task.source.stat()
            mode = stat.S_IMODE(status.st_mode)
            mtime_ns = status.st_mtime_ns if arguments.keep_times else None
        write(task.target, content, force=arguments.force or arguments.newer, mode=mode, mtime_ns=mtime_ns)
    except FileExistsError:
        return _exists(task)
    except OSError as error:
        if task.target == STANDARD_STREAM:
            discard_stdout()
            return Outcome(task=task, problem=stdout_problem(error), code="os")
        return Outcome(task=task, problem=f"cannot write {task.target}: {error.strerror or error}", code="os")
    return None


def _exists(task: Task) -> Outcome:
    advice = "is the input itself; choose another output" if is_itself(task) else "exists; --force replaces it"
    return Outcome(task=task, problem=f"{task.target} {advice}", code="exists")
