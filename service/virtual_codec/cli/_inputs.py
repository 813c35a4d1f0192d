"""Expansion of the command line's inputs (names, folders and globs) to image files.

Folders and globs give regular, visible files with a known image suffix; links to folders are not followed. A folder
that cannot be read is reported as a problem. A file that is named explicitly is always included; reading it fails later
if it is missing, unreadable or not regular.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from virtual_codec.cli._verb import Misuse

# Resource forks and previews that macOS adds to archives and to disks of other systems.
_HIDDEN_FOLDERS: Final = frozenset({"__MACOSX"})


@dataclass(frozen=True, kw_only=True)
class UnreadableFolder:
    """Folder that could not be listed, with the operating system's reason."""

    path: Path
    reason: str


def check_folder(path: Path, argument: str) -> None:
    """Check that the folder of an argument exists. Raises `Misuse`."""
    if not path.is_dir():
        raise Misuse(f"{argument}: {path} is not a folder")


def check_exists(path: Path, argument: str) -> None:
    """Check that the file or folder of an argument exists. Raises `Misuse`."""
    if not path.exists():
        raise Misuse(f"{argument}: {path} does not exist")


@final
@dataclass(kw_only=True)
class InputExpander:
    """Expander of inputs to files. `suffixes` are those of images, in lower case; `output` is never walked into.

    `unreadable` collects the folders that could not be listed.
    """

    suffixes: frozenset[str]
    output: Path
    unreadable: list[UnreadableFolder] = field(default_factory=list)

    def expand(self, text: str) -> Iterator[tuple[Path, Path]]:
        """Expand an input to pairs of a file and the folder that its output name is relative to.

        Raises `Misuse` for a folder or a glob without any image.
        """
        path = Path(text)
        if path.is_dir():
            files = [(file, path) for file in self._walk(path)]
            if not files and not self.unreadable:
                raise Misuse(f"no image in {path}; images have the suffixes {' '.join(sorted(self.suffixes))}")
            yield from files
        elif glob.has_magic(text) and not os.path.lexists(text):
            yield from self._expand_glob(text)
        else:
            yield path, path.parent

    def _expand_glob(self, text: str) -> Iterator[tuple[Path, Path]]:
        found: dict[Path, Path] = {}
        # Brackets that match nothing as a character class are literal, as in a folder "photos [2020]".
        for pattern in dict.fromkeys((text, text.replace("[", "[[]"))):
            path = Path(pattern)
            base, parts = _literal_part(path)
            for match in sorted(set(self._match(base, parts))):
                if not match.is_dir():
                    if self._is_image(match, path.suffix):
                        found.setdefault(match, base)
                elif "**" not in parts:  # the glob has already searched the folders
                    found.update(dict.fromkeys(self._walk(match), base))
            if found:
                break
        if not found and not self.unreadable:
            raise Misuse(f"no file matches {text}")
        yield from found.items()

    def _match(self, base: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """Match the remaining parts of a glob below a folder; `**` stands for any number of folders."""
        part, *rest = parts
        if part == "**":
            yield from self._match(base, tuple(rest) or ("*",))
            for entry in self._entries(base):
                if entry.is_dir(follow_symlinks=False) and not _is_hidden(entry.name):
                    yield from self._match(base / entry.name, parts)
            return
        if not glob.has_magic(part):
            names = [part] if os.path.lexists(base / part) else []
        else:
            names = [
                entry.name
                for entry in self._entries(base)
                if fnmatch.fnmatchcase(os.path.normcase(entry.name), os.path.normcase(part))
                and (part.startswith(".") or not _is_hidden(entry.name))
            ]
        for name in names:
            if not rest:
                yield base / name
            elif (base / name).is_dir():
                yield from self._match(base / name, tuple(rest))

    def _walk(self, folder: Path) -> Iterator[Path]:
        # An output folder inside this one holds outputs of an earlier run, which are not inputs.
        output_folder = self.output.resolve() if self.output.resolve() != folder.resolve() else None
        entries = sorted(self._entries(folder), key=lambda entry: entry.name)
        yield from (folder / entry.name for entry in entries if self._is_image(folder / entry.name))
        for entry in entries:
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False) and not _is_hidden(entry.name) and path.resolve() != output_folder:
                yield from self._walk(path)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except OSError as error:
            problem = UnreadableFolder(path=folder, reason=error.strerror or str(error))
            if problem not in self.unreadable:  # two parts of a glob may list the same folder
                self.unreadable.append(problem)
            return []

    def _is_image(self, path: Path, asked_suffix: str = "") -> bool:
        """True for a regular, visible file of an image's suffix, or of the suffix that a glob asks for."""
        known = bool(asked_suffix) and not glob.has_magic(asked_suffix)
        return path.is_file() and (known or (not _is_hidden(path.name) and path.suffix.lower() in self.suffixes))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _HIDDEN_FOLDERS


def _literal_part(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    """Split a glob into the folder before its first wildcard and the remaining parts."""
    parts = pattern.relative_to(pattern.anchor).parts
    count = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    base = Path(pattern.anchor).joinpath(*parts[:count])
    return base, parts[count:]
