"""File names of a conversion: input patterns to pairs of input and output, and atomic writing."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtual_codec.cli._verb import Misuse

STANDARD_STREAM: Final = Path("-")
IMAGES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp"}
    | {".tif", ".tiff", ".bmp", ".dib", ".gif", ".avif", ".avifs"}
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Conversion of one file: the path to read and the path to write. `STANDARD_STREAM` is stdin or stdout."""

    source: Path
    target: Path


def plan(
    inputs: Sequence[str],
    output: str,
    *,
    taken: frozenset[str],
    suffixes: Sequence[str],
    force: bool = False,
    keep_suffix: bool = False,
) -> list[Task]:
    """Plan the tasks: every input file with its output file. Raises `Misuse` before anything is done.

    An input is a file, a glob, "-", or a folder: the files in it, at any depth, whose lower-case suffix is in
    `taken`. The output is a file when it can be one (a single file goes in, and it is not a folder), else a
    folder in which names keep their path below the input folder and get the first of `suffixes`, in place of their
    own or, with `keep_suffix`, behind it. `suffixes` say what is written: an output file has no other image's.
    """
    if STANDARD_STREAM in map(Path, inputs) or Path(output) == STANDARD_STREAM:
        return _plan_streams(inputs, output, suffixes)
    found = [pair for text in inputs for pair in _expand(text, taken, Path(output))]
    single = len(inputs) == 1 and found == [(Path(inputs[0]), Path(inputs[0]).parent)]
    if single and not is_folder(output):
        _check_suffix(output, suffixes)
        tasks = [Task(source=found[0][0], target=Path(output))]
    else:
        if Path(output).exists() and not Path(output).is_dir():
            raise Misuse(f"{output} is a file; several inputs need a folder to go to")
        if not is_folder(output) and Path(output).suffix.lower() in IMAGES.union(suffixes):
            raise Misuse(f"{output} names one image; several inputs, folders and globs need a folder to go to")
        tasks = [
            Task(source=source, target=Path(output) / _renamed(source.relative_to(base), suffixes[0], keep_suffix))
            for source, base in found
        ]
    _check_apart(tasks, suffixes[0], force=force)
    return tasks


def is_folder(output: str) -> bool:
    """True if an output is a folder, or its name ends like one."""
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def is_itself(task: Task) -> bool:
    """True if a task would write the file that it reads."""
    return _identity(task.source) == _identity(task.target)


def read(source: Path) -> bytes:
    """Read all of a file, or of stdin."""
    return sys.stdin.buffer.read() if source == STANDARD_STREAM else source.read_bytes()


def write(target: Path, content: bytes, *, force: bool = False) -> None:
    """Write a file atomically. Raises `FileExistsError` if there is one already and `force` is false."""
    if target == STANDARD_STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if is_device(target):
        target.write_bytes(content)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, f"{target.parent} is not a folder", str(target.parent)) from error
    part = target.with_name(f".vcodec-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
        if force:
            part.replace(target)
        else:
            _move_to_new(part, target)
    finally:
        part.unlink(missing_ok=True)


def is_device(target: Path) -> bool:
    """True if a path is neither file nor folder, such as /dev/null: it is written to, never replaced."""
    return target.exists() and not target.is_file() and not target.is_dir()


def _plan_streams(inputs: Sequence[str], output: str, suffixes: Sequence[str]) -> list[Task]:
    if len(inputs) != 1 or (output != "-" and is_folder(output)):
        raise Misuse('"-" stands for one input and one output file, not for several')
    if inputs[0] != "-" and not Path(inputs[0]).is_file():
        raise Misuse(f'"-" takes one image; {inputs[0]} is not a file')
    _check_suffix(output, suffixes)
    return [Task(source=Path(inputs[0]), target=Path(output))]


def _expand(text: str, taken: frozenset[str], output: Path) -> Iterator[tuple[Path, Path]]:
    """Expand an input to its files, each with the folder that its output name is relative to."""
    path = Path(text)
    if path.is_dir():
        files = [(file, path) for file in _walk(path, taken, output)]
        if not files:
            raise Misuse(f"no image in {path}; these suffixes are taken: {' '.join(sorted(taken))}")
        yield from files
    elif glob.has_magic(text) and not path.exists():
        base = _literal_part(path)
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
        if not matches:
            raise Misuse(f"no file matches {text}")
        for match in matches:
            if not match.is_dir():
                yield match, base
            elif "**" not in path.parts:  # which has gone into the folders already
                yield from ((file, base) for file in _walk(match, taken, output))
    else:
        yield path, path.parent  # one that is missing fails by itself, when its turn comes


def _walk(folder: Path, taken: frozenset[str], output: Path) -> Iterator[Path]:
    # What an earlier run left in an output folder inside this one is not taken as input again.
    made_here = output.resolve() if output.resolve() != folder.resolve() else None
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if Path(place, name).resolve() != made_here)
        yield from (Path(place, name) for name in sorted(names) if Path(name).suffix.lower() in taken)


def _literal_part(pattern: Path) -> Path:
    """Folder part of a pattern before its first wildcard."""
    base = Path(pattern.anchor)
    for part in pattern.relative_to(pattern.anchor).parts[:-1]:
        if glob.has_magic(part):
            break
        base /= part
    return base


def _renamed(name: Path, suffix: str, keep_suffix: bool) -> Path:
    return name.with_name(name.name + suffix) if keep_suffix else name.with_suffix(suffix)


def _check_suffix(output: str, suffixes: Sequence[str]) -> None:
    suffix = Path(output).suffix
    if suffix.lower() in IMAGES.difference(suffixes):
        right = Path(output).with_suffix(suffixes[0])
        raise Misuse(f"{output} ends in {suffix}, but what is written is {suffixes[0]}: name it {right}")


def _check_apart(tasks: Sequence[Task], suffix: str, *, force: bool) -> None:
    sources = {_identity(task.source) for task in tasks}
    writers: dict[str, Path] = {}
    for task in tasks:
        target = _identity(task.target)
        if target in writers and not is_device(task.target):
            raise Misuse(
                f"{writers[target]} and {task.source} would both become {task.target}; "
                + _way_out(writers[target].name, task.source.name, suffix)
            )
        writers[target] = task.source
        if force and target in sources:
            whose = "that very input" if is_itself(task) else "an input itself"
            raise Misuse(f"{task.source} would replace {task.target}, which is {whose}; name another output")


def _way_out(one: str, other: str, suffix: str) -> str:
    if one == other:
        return "give them folders of their own, in a run each"
    return f"--keep-suffix makes {one}{suffix} and {other}{suffix} of them"


def _identity(path: Path) -> str:
    return os.path.normcase(path.resolve())


def _move_to_new(part: Path, target: Path) -> None:
    """Rename a file without replacing another: one created since the check stays."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: hold the name with an empty file for a moment
        target.open("xb").close()
        try:
            part.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                target.unlink()
            raise
