"""Local folder as a `Storage`."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from virtual_codec.bulk.storage import RESERVED, Entry

try:
    import fcntl
except ImportError:  # Windows has no fcntl, so users must avoid two runs into one folder at a time
    fcntl = None  # type: ignore[assignment]

_PARTS_FOLDER: Final = f"{RESERVED}/parts"


@final
class Folder:
    """Local folder. Unfinished files are in a folder of their own, where a later run finds those of a killed run."""

    def __init__(self, path: str, *, scratch: str) -> None:
        self._root = Path(path).absolute()
        self._parts = self._root / _PARTS_FOLDER / scratch

    @property
    def url(self) -> str:
        """Absolute path of the root."""
        return os.path.realpath(self._root).rstrip("/")

    @property
    def is_local(self) -> bool:
        """True."""
        return True

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Files at any depth. Links to folders are not followed; devices and pipes are skipped."""
        top = self._root / prefix
        if not prefix and not top.is_dir():
            raise FileNotFoundError(f"there is no folder {self._root}")
        folders = [top] if top.is_dir() else []
        while folders:
            with os.scandir(folders.pop()) as found:
                for item in found:
                    if item.is_dir(follow_symlinks=False):
                        folders.append(Path(item.path))
                    elif item.is_file():
                        stat = item.stat()
                        yield Entry(
                            name=Path(item.path).relative_to(self._root).as_posix(),
                            size_bytes=stat.st_size,
                            version=str(stat.st_mtime_ns),
                        )

    def read(self, name: str) -> bytes:
        """Content of a file."""
        return (self._root / name).read_bytes()

    def lines(self, name: str) -> Iterator[bytes]:
        """Complete lines of a log file."""
        with (self._root / name).open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))

    def write(self, name: str, content: bytes, *, replace: bool, media_type: str = "") -> None:  # noqa: ARG002
        """Write a file atomically: its bytes are on the disk before it is renamed into place."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._parts.mkdir(parents=True, exist_ok=True)
        part = self._parts / secrets.token_hex(8)
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # without it, a power failure may leave an empty file under the final name
            if replace:
                part.replace(target)
            else:
                _rename_to_new(part, target)
        finally:
            part.unlink(missing_ok=True)

    def size_bytes(self, name: str) -> int | None:
        """Size of a file, or None if there is none."""
        try:
            return (self._root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def append(self, log: str, part: int, content: bytes) -> None:  # noqa: ARG002
        """Append to the log's one file."""
        path = self._root / f"{log}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold an advisory lock of the system, after which unfinished files of killed runs are removed."""
        path = self._root / RESERVED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                for part in self._parts.iterdir():
                    part.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)  # which releases the lock, as the end of a killed process does


def _rename_to_new(part: Path, target: Path) -> None:
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # the file system has no hard links
        if target.exists():
            raise FileExistsError(f"{target} exists") from None
        part.replace(target)
