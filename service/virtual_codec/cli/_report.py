"""Report of a conversion: a line for each file on stdout, problems and totals on stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from virtual_codec.cli._file_io import STANDARD_STREAM
from virtual_codec.cli._files import Task
from virtual_codec.cli._inputs import UnreadableFolder
from virtual_codec.cli._stdout import discard_stdout, stdout_problem
from virtual_codec.errors import BadOption, ModelNotFound
from virtual_codec.jobs import LeftOut
from virtual_codec.progress import progress_scope

if TYPE_CHECKING:
    from tqdm import tqdm

_METADATA_ADVICE: Final[Mapping[LeftOut, tuple[str, str]]] = {
    "exif": ("EXIF", "--metadata exif or all keeps it"),
    "xmp": ("XMP", "--metadata xmp or all keeps it"),
    "location": ("location", "--metadata all keeps it"),
    "maker-notes": ("maker notes", "--metadata all keeps them"),
    "transparency": ("transparency", "--background sets the colour behind it"),
}

_MISUSES: Final = {BadOption.code, ModelNotFound.code}
_BAR_DELAY_S: Final = 1.0  # before a single image gets a bar
_MIN_BAR_TILES: Final = 3  # a pass of fewer tiles ends before its bar can be read


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Outcome of one task: `facts` if it succeeded, `skipped` with the reason, or `problem` with its `code`."""

    task: Task
    input_bytes: int = 0
    output_bytes: int = 0
    seconds: float = 0.0
    facts: dict[str, object] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    is_larger: bool = False
    skipped: str = ""
    problem: str = ""
    code: str = ""


@final
class Report:
    """Reporter of outcomes, in the form of the arguments. `failed` counts the problems."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.failed = 0
        self._misused = 0
        self._done = 0
        self._skipped = 0
        self._larger = 0
        self._left_out: Counter[LeftOut] = Counter()
        self._input_bytes = 0
        self._output_bytes = 0
        self._json: bool = arguments.json
        self._is_quiet: bool = arguments.quiet
        self._bar: tqdm[None] | None = None
        self._is_stdout_open = True

    @property
    def exit_status(self) -> int:
        """0 if nothing failed, 2 if all files were refused for the options, which is misuse, and 1 otherwise."""
        if not self.failed:
            return 0
        return 2 if self._misused == self.failed and not self._done and not self._skipped else 1

    def show_on(self, bar: tqdm[None] | None) -> None:
        """Update a progress bar with every outcome, and print lines above it."""
        self._bar = bar

    def add(self, outcome: Outcome) -> None:
        """Count an outcome and print its line."""
        if self._json:
            self._print(json.dumps(_as_json(outcome)), is_problem=False)
        if outcome.problem:
            self.failed += 1
            self._misused += outcome.code in _MISUSES
            self._print(f"vcodec: {outcome.task.source}: {outcome.problem}", is_problem=True)
        elif outcome.skipped:
            self._skipped += 1
        else:
            self._done += 1
            self._larger += outcome.is_larger
            self._left_out.update(outcome.left_out)
            self._input_bytes += outcome.input_bytes
            self._output_bytes += outcome.output_bytes
            if not self._json and not self._is_quiet:
                self._print(_as_line(outcome), is_problem=outcome.task.target == STANDARD_STREAM)
        if self._bar is not None:
            self._bar.update()

    def add_unreadable(self, folder: UnreadableFolder) -> None:
        """Count and print a folder that could not be listed."""
        self.failed += 1
        if self._json:
            error = {"code": "os", "detail": folder.reason}
            self._print(json.dumps({"input": str(folder.path), "error": error}), is_problem=False)
        self._print(f"vcodec: {folder.path}: cannot list this folder: {folder.reason}", is_problem=True)

    def add_planned(self, task: Task) -> None:
        """Print a task that a dry run leaves undone."""
        line = {"input": str(task.source), "output": str(task.target), "planned": True}
        self._print(json.dumps(line) if self._json else f"{task.source} -> {task.target}", is_problem=False)

    def close(self) -> None:
        """Print the totals, if there was more than one file or a reason to say something."""
        if self._is_quiet:
            return
        if self._larger:
            files = "output is larger than its input" if self._larger == 1 else "outputs are larger than their inputs"
            print(
                f"vcodec: {self._larger} {files}; --if-larger skip leaves them out, --if-larger copy keeps the input",
                file=sys.stderr,
            )
        if self._left_out:
            print(f"vcodec: left out: {_left_out_line(self._left_out)}", file=sys.stderr)
        skipped = f"{self._skipped} skipped, " if self._skipped else ""
        if self._done + self.failed + self._skipped > 1 or self._skipped:
            print(
                f"{self._done} done, {skipped}{self.failed} failed; "
                f"{format_size(self._input_bytes)} -> {format_size(self._output_bytes)}",
                file=sys.stderr,
            )

    def _print(self, line: str, *, is_problem: bool) -> None:
        file = sys.stderr if is_problem else sys.stdout
        if not is_problem and not self._is_stdout_open:
            return
        try:
            if self._bar is None:
                print(line, file=file, flush=True)
            else:
                self._bar.write(line, file=file)
                file.flush()
        except OSError as error:
            if is_problem:
                raise
            self._is_stdout_open = False
            self.failed += 1
            discard_stdout()
            print(
                f"vcodec: {stdout_problem(error)}; the other files are converted without output lines", file=sys.stderr
            )


@contextmanager
def progress_bar(total: int, arguments: argparse.Namespace) -> Iterator[tqdm[None] | None]:
    """Show a progress bar of several images on stderr in a block; None for one image, or if no bar is wanted."""
    if total == 1 or not _is_bar_wanted(arguments):
        yield None
        return
    from tqdm import tqdm

    nothing: Iterable[None] = ()
    with tqdm(nothing, total=total, unit="image", file=sys.stderr, dynamic_ncols=True) as bar:
        yield bar


@contextmanager
def tile_bar(arguments: argparse.Namespace) -> Iterator[None]:
    """Show a progress bar of the tiles of one image, for jobs of this thread in a block that take a while."""
    if not _is_bar_wanted(arguments):
        yield
        return
    from tqdm import tqdm

    nothing: Iterable[None] = ()
    with tqdm(
        nothing, total=0, unit="tile", leave=False, delay=_BAR_DELAY_S, file=sys.stderr, dynamic_ncols=True
    ) as bar:

        def show(done: int, tiles: int) -> None:
            if tiles >= _MIN_BAR_TILES:
                bar.total = tiles
                bar.update(done - bar.n)

        with progress_scope(show):
            yield


def _is_bar_wanted(arguments: argparse.Namespace) -> bool:
    return bool(arguments.progress or (sys.stderr.isatty() and not arguments.quiet))


def format_size(size_bytes: int) -> str:
    """Format a number of bytes in decimal units: 999 B, 1.0 kB, 1.0 MB."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:.1f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:.1f} MB"


def _left_out_line(counts: Mapping[LeftOut, int]) -> str:
    """Kinds of metadata that outputs do not keep, each with the number of images and the option that keeps it."""
    parts = [
        f"{name} of {counts[kind]} image{'s' if counts[kind] > 1 else ''} ({option})"
        for kind, (name, option) in _METADATA_ADVICE.items()
        if counts.get(kind)
    ]
    return ", ".join(parts)


def _as_line(outcome: Outcome) -> str:
    task = outcome.task
    sizes = f"{format_size(outcome.input_bytes)} -> {format_size(outcome.output_bytes)}"
    larger = " (larger)" if outcome.is_larger else ""
    facts = " ".join(f"{name}={value}" for name, value in outcome.facts.items() if value is not None)
    return f"{task.source} -> {task.target}: {sizes}{larger}, {facts}"


def _as_json(outcome: Outcome) -> dict[str, object]:
    task = {"input": str(outcome.task.source), "output": str(outcome.task.target)}
    if outcome.problem:
        return {**task, "error": {"code": outcome.code, "detail": outcome.problem}}
    if outcome.skipped:
        return {**task, "skipped": outcome.skipped}
    sizes = {"input_bytes": outcome.input_bytes, "output_bytes": outcome.output_bytes}
    left_out = {"left_out": list(outcome.left_out)} if outcome.left_out else {}
    return {**task, **sizes, **outcome.facts, **left_out, "seconds": round(outcome.seconds, 4)}
