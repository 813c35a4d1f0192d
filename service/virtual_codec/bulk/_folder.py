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
except ImportError:  # Windows: two runs into one folder at a time are the user's to avoid
    fcntl = None  # type: ignore[assignment]

_PARTS: Final = f"{RESERVED}/parts"


@final
class Folder:
    """Local folder. Unfinished files lie in one folder of its own, so that those of a killed run can be found."""

    def __init__(self, path: str, *, scratch: str) -> None:
        self._root = Path(path).absolute()
        self._parts = self._root / _PARTS / scratch

    @property
    def url(self) -> str:
        """Absolute path of the root."""
        return os.path.realpath(self._root).rstrip("/")

    @property
    def is_local(self) -> bool:
        """True."""
        return True

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Files at any depth. Links to folders are not followed, devices and pipes are passed over."""
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
        """Whole lines of a log file."""
        with (self._root / name).open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))

    def write(self, name: str, content: bytes, *, replace: bool, media_type: str = "") -> None:  # noqa: ARG002
        """File that appears by renaming, after its bytes are on the disk."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._parts.mkdir(parents=True, exist_ok=True)
        part = self._parts / secrets.token_hex(8)
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave an empty file under the final name
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
        """Addition to the log's one file."""
        path = self._root / f"{log}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Advisory lock of the system, in which unfinished files of killed runs are removed."""
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
            os.close(descriptor)  # and with it the lock; so does the system with that of a killed process


def _rename_to_new(part: Path, target: Path) -> None:
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(f"{target} exists") from None
        part.replace(target)
