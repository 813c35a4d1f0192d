"""Storage of a bulk run: a local folder, or a prefix of an object store through fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from virtual_codec.errors import BadOption

RESERVED: Final = ".vcodec-bulk"  # folder of a destination with manifest, lock and report
_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """File or object: its name below the root with "/" between folders, its size and its version.

    `version` changes with the content. It is the modification time of a file, and the ETag of an object.
    """

    name: str
    size_bytes: int
    version: str


class Storage(Protocol):
    """Flat map of names to contents. All methods may be called from several threads, and all may raise `OSError`."""

    @property
    def url(self) -> str:
        """Absolute address of the root, without a "/" at its end."""

    @property
    def is_local(self) -> bool:
        """True if an existence check takes almost no time."""

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Entries in the folder `prefix`, in no particular order, without holding all of them in memory."""

    def read(self, name: str) -> bytes:
        """Content of an entry. Raises `FileNotFoundError`."""

    def lines(self, name: str) -> Iterator[bytes]:
        """Lines of a log, each with its line end. An incomplete last line is left out."""

    def write(self, name: str, content: bytes, *, replace: bool, media_type: str = "") -> None:
        """Write an entry atomically. Raises `FileExistsError` if it exists, unless `replace` is True."""

    def size_bytes(self, name: str) -> int | None:
        """Size of an entry, or None if there is none."""

    def append(self, log: str, part: int, content: bytes) -> None:
        """Append complete lines to a log, durably.

        A local folder holds a log as one file, an object store as one object for each `part`.
        """

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a lock in a block, or until this process ends. Raises `BlockingIOError` if another process holds it.

        An object store has no locks.
        """


def open_storage(url: str, *, scratch: str = "0") -> Storage:
    """Open the storage at a path or URL. Raises `BadOption` for an unknown scheme.

    `scratch` names the folder of unfinished files. Runs that write to one destination at the same time need different
    ones.
    """
    found = _SCHEME.match(url)
    if found is None:
        from virtual_codec.bulk._folder import Folder

        return Folder(url, scratch=scratch)
    if found["scheme"].lower() == "file":
        raise BadOption(f"give a local folder as a path, without file://: {url}")
    from virtual_codec.bulk._objects import ObjectPrefix

    return ObjectPrefix(url)
