"""Conversion of many files by one codec: the shared part of `compress` and `decompress`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from virtual_codec import interrupts
from virtual_codec.cancellable_threads import cancellable_threads
from virtual_codec.cli._files import STANDARD_STREAM, Task, is_device, is_itself, read, write
from virtual_codec.cli._verb import Misuse, positive
from virtual_codec.errors import VirtualCodecError

if TYPE_CHECKING:
    from tqdm import tqdm


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Content of an output file, and the facts for its line of output."""

    content: bytes = field(repr=False)
    facts: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Outcome of one task: `facts` if it succeeded, otherwise `problem` and its `code`."""

    task: Task
    input_bytes: int = 0
    output_bytes: int = 0
    seconds: float = 0.0
    facts: dict[str, object] = field(default_factory=dict)
    problem: str = ""
    code: str = ""


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for inputs, output and the conversion of many files."""
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help='files, folders (with all below), globs, or "-" for stdin'
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help='a file for one input, with the suffix of its format or none; a folder for several; "-" for stdout',
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--keep-suffix",
        action="store_true",
        help="name outputs a.png.jpg, not a.jpg, where inputs beside each other differ only by their suffix",
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="images at once (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON line a file")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even where stderr is no terminal"
    )


def check_output(arguments: argparse.Namespace) -> None:
    """Check that nothing else goes to stdout beside an image. Raises `Misuse`."""
    if arguments.json and arguments.output == "-":
        raise Misuse("--json and -o - both want stdout")


def convert(tasks: Sequence[Task], process: Callable[[bytes], Converted], arguments: argparse.Namespace) -> int:
    """Convert every task's file, also after others have failed, and return the exit status."""

    def attempt(task: Task) -> Outcome:
        return _attempt(task, process, force=arguments.force)

    with _progress(len(tasks), arguments) as bar:
        report = _Report(arguments, bar)
        for outcome in _run(tasks, attempt, arguments.jobs):
            report.add(outcome)
            if interrupts.was_interrupted():  # and some library caught it
                raise KeyboardInterrupt
    report.close()
    return 1 if report.failed else 0


def _run(tasks: Sequence[Task], attempt: Callable[[Task], Outcome], jobs: int) -> Iterator[Outcome]:
    if min(jobs, len(tasks)) == 1:  # in this thread, where Ctrl-C ends the work at once
        yield from map(attempt, tasks)
        return
    with cancellable_threads(jobs) as threads:  # whose jobs end at their next stage or tile
        for future in as_completed([threads.submit(attempt, task) for task in tasks]):
            yield future.result()


def _attempt(task: Task, process: Callable[[bytes], Converted], *, force: bool) -> Outcome:
    start = time.perf_counter()
    try:
        if not force and task.target.exists() and not is_device(task.target):
            raise FileExistsError
        source = read(task.source)
        converted = process(source)
        write(task.target, converted.content, force=force)
    except FileExistsError:
        advice = "is the input itself; name another" if is_itself(task) else "exists; --force replaces it"
        return Outcome(task=task, problem=f"{task.target} {advice}", code="exists")
    except VirtualCodecError as error:
        return Outcome(task=task, problem=str(error) or type(error).__name__, code=error.code)
    except OSError as error:
        reason = error.strerror or str(error)
        is_of_source = error.filename in (None, str(task.source))
        return Outcome(
            task=task, problem=reason if is_of_source else f"cannot write {task.target}: {reason}", code="os"
        )
    except Exception as error:  # a fault of ours with one file; the others still get their turn
        if interrupts.was_interrupted():
            raise KeyboardInterrupt from error
        return Outcome(task=task, problem=f"{type(error).__name__}: {error}", code="internal")
    return Outcome(
        task=task,
        input_bytes=len(source),
        output_bytes=len(converted.content),
        seconds=time.perf_counter() - start,
        facts=converted.facts,
    )


@final
class _Report:
    """Reporter of outcomes: a line for each file on stdout, problems and the total on stderr."""

    def __init__(self, arguments: argparse.Namespace, bar: tqdm[None] | None) -> None:
        self.failed = 0
        self._outcomes = 0
        self._input_bytes = 0
        self._output_bytes = 0
        self._json: bool = arguments.json
        self._is_quiet: bool = arguments.quiet
        self._bar = bar

    def add(self, outcome: Outcome) -> None:
        self._outcomes += 1
        self._input_bytes += outcome.input_bytes
        self._output_bytes += outcome.output_bytes
        if self._json:
            self._print(json.dumps(_as_json(outcome)), is_problem=False)
        if outcome.problem:
            self.failed += 1
            self._print(f"vcodec: {outcome.task.source}: {outcome.problem}", is_problem=True)
        elif not self._json and not self._is_quiet:
            self._print(_as_line(outcome), is_problem=outcome.task.target == STANDARD_STREAM)
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        if self._outcomes > 1 and not self._is_quiet:
            print(
                f"{self._outcomes - self.failed} done, {self.failed} failed; "
                f"{_size(self._input_bytes)} -> {_size(self._output_bytes)}",
                file=sys.stderr,
            )

    def _print(self, line: str, *, is_problem: bool) -> None:
        file = sys.stderr if is_problem else sys.stdout
        if self._bar is None:
            print(line, file=file, flush=True)
        else:
            self._bar.write(line, file=file)


@contextmanager
def _progress(total: int, arguments: argparse.Namespace) -> Iterator[tqdm[None] | None]:
    is_wanted = arguments.progress or (total > 1 and sys.stderr.isatty() and not arguments.quiet)
    if not is_wanted:
        yield None
        return
    from tqdm import tqdm

    nothing: Iterable[None] = ()
    with tqdm(nothing, total=total, unit="image", file=sys.stderr, dynamic_ncols=True) as bar:
        yield bar


def _as_line(outcome: Outcome) -> str:
    task = outcome.task
    sizes = f"{_size(outcome.input_bytes)} -> {_size(outcome.output_bytes)}"
    facts = " ".join(f"{name}={value}" for name, value in outcome.facts.items() if value is not None)
    return f"{task.source} -> {task.target}: {sizes}, {facts}"


def _as_json(outcome: Outcome) -> dict[str, object]:
    task = {"input": str(outcome.task.source), "output": str(outcome.task.target)}
    if outcome.problem:
        return {**task, "error": {"code": outcome.code, "detail": outcome.problem}}
    sizes = {"input_bytes": outcome.input_bytes, "output_bytes": outcome.output_bytes}
    return {**task, **sizes, **outcome.facts, "seconds": round(outcome.seconds, 4)}


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:.1f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:.1f} MB"
