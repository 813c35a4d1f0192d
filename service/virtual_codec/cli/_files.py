"""Plan of a conversion: every input file with its output file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from virtual_codec.cli._file_io import STANDARD_STREAM, is_device
from virtual_codec.cli._inputs import InputExpander, UnreadableFolder
from virtual_codec.cli._verb import Misuse

IMAGES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp"}
    | {".tif", ".tiff", ".bmp", ".dib", ".gif", ".avif", ".avifs", ".jp2", ".j2k", ".jpf"}
    | {".heic", ".heif"}  # refused with advice
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Conversion of one file: the path to read and the path to write. `STANDARD_STREAM` is stdin or stdout."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Tasks of a conversion, and the input folders that could not be listed."""

    tasks: Sequence[Task]
    unreadable: Sequence[UnreadableFolder] = ()


def plan(
    inputs: Sequence[str],
    output: str,
    *,
    taken: frozenset[str],
    suffixes: Sequence[str],
    force: bool = False,
    keep_suffix: bool = False,
) -> Plan:
    """Plan the tasks: every input file with its output file. Raises `Misuse` before anything is done.

    An input is a file, a glob, "-", or a folder (see `virtual_codec.cli._inputs`); `taken` are the suffixes of inputs
    in folders, in lower case. `output` is a file if there is one input file and `output` is not a folder. Otherwise it
    is a folder, in which outputs keep their path below the input folder. The first of `suffixes` replaces the suffix of
    the input or, with `keep_suffix`, follows it. `suffixes` are those of the format that is written; an output file
    with the suffix of another image format is refused. With `force`, outputs replace files, but never an input.
    """
    if STANDARD_STREAM in map(Path, inputs) or Path(output) == STANDARD_STREAM:
        return Plan(tasks=_plan_streams(inputs, output, suffixes))
    expander = InputExpander(suffixes=taken, output=Path(output))
    found = list(dict.fromkeys(pair for text in inputs for pair in expander.expand(text)))
    single = len(inputs) == 1 and found == [(Path(inputs[0]), Path(inputs[0]).parent)]
    if single and not is_folder(output):
        _check_suffix(output, suffixes)
        tasks = [Task(source=found[0][0], target=Path(output))]
    else:
        if Path(output).exists() and not Path(output).is_dir():
            raise Misuse(f"{output} is a file; several inputs need an output folder")
        if not is_folder(output) and Path(output).suffix.lower() in IMAGES.union(suffixes):
            raise Misuse(f"{output} names one image; several inputs, folders and globs need an output folder")
        tasks = [
            Task(source=source, target=Path(output) / _renamed(source.relative_to(base), suffixes[0], keep_suffix))
            for source, base in found
        ]
    _check_collisions(tasks, suffixes[0], force=force, sources={_identity(task.source) for task in tasks})
    return Plan(tasks=tasks, unreadable=expander.unreadable)


def is_folder(output: str) -> bool:
    """True if an output is a folder, or its name ends as that of a folder."""
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def is_itself(task: Task) -> bool:
    """True if a task would write the file that it reads."""
    return _identity(task.source) == _identity(task.target)


def copy_of(task: Task) -> Task:
    """Task that copies the input instead. Its output has the input's suffix, because it has the input's format."""
    if STANDARD_STREAM in (task.source, task.target) or is_device(task.target):
        return task
    return replace(task, target=task.target.with_suffix(task.source.suffix))


def check_copies(tasks: Sequence[Task], *, force: bool) -> None:
    """Check the outputs of `copy_of` as `plan` checks its own. Raises `Misuse`."""
    copies = [copy for task in tasks if not is_itself(copy := copy_of(task))]
    _check_collisions(copies, "", force=force, sources={_identity(task.source) for task in tasks})


def _plan_streams(inputs: Sequence[str], output: str, suffixes: Sequence[str]) -> list[Task]:
    if len(inputs) != 1 or (output != "-" and is_folder(output)):
        raise Misuse('"-" stands for one file; give one input and one output')
    if inputs[0] != "-" and not Path(inputs[0]).is_file():
        raise Misuse(f'"-" as output needs one input file; {inputs[0]} is not a file')
    _check_suffix(output, suffixes)
    return [Task(source=Path(inputs[0]), target=Path(output))]


def _renamed(name: Path, suffix: str, keep_suffix: bool) -> Path:
    return name.with_name(name.name + suffix) if keep_suffix else name.with_suffix(suffix)


def _check_suffix(output: str, suffixes: Sequence[str]) -> None:
    suffix = Path(output).suffix
    if suffix.lower() in IMAGES.difference(suffixes):
        right = Path(output).with_suffix(suffixes[0])
        raise Misuse(f"{output} ends in {suffix}, but the output format is {suffixes[0]}; name it {right}")


def _check_collisions(tasks: Sequence[Task], suffix: str, *, force: bool, sources: set[str]) -> None:
    """Check that no two tasks write the same file and, with `force`, that none writes a source. Raises `Misuse`."""
    writers: dict[str, Path] = {}
    for task in tasks:
        target = _identity(task.target)
        if target in writers and not is_device(task.target):
            raise Misuse(
                f"{writers[target]} and {task.source} would both become {task.target}; "
                + _collision_advice(writers[target].name, task.source.name, suffix)
            )
        writers[target] = task.source
        if force and target in sources:
            reason = "the same file" if is_itself(task) else "another input"
            raise Misuse(f"{task.source} would replace {task.target}, which is {reason}; choose another output")


def _collision_advice(one: str, other: str, suffix: str) -> str:
    if one == other:
        return "convert them in separate runs, to different folders"
    return f"--keep-suffix names them {one}{suffix} and {other}{suffix}"


def _identity(path: Path) -> str:
    return os.path.normcase(path.resolve())
