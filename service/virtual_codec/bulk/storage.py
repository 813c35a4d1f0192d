"""Storage of a bulk run: a local folder, or a prefix of an object store by fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from virtual_codec.errors import BadOption

RESERVED: Final = ".vcodec-bulk"  # the folder of a destination that holds manifest, lock and report
_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file or object: its name below the root, with "/" between folders, and what tells that it changed.

    `version` is the modification time of a file and the ETag of an object.
    """

    name: str
    size_bytes: int
    version: str


class Storage(Protocol):
    """A flat map of names to contents. All methods may be called from several threads; all raise `OSError`."""

    @property
    def url(self) -> str:
        """Absolute address of the root, without a "/" at its end."""

    @property
    def is_local(self) -> bool:
        """True if an existence check costs next to nothing."""

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Entries whose names begin with the folder `prefix`, in no order, without holding them all in memory."""

    def read(self, name: str) -> bytes:
        """Content of an entry. Raises `FileNotFoundError`."""

    def lines(self, name: str) -> Iterator[bytes]:
        """Lines of a log, each with its line end, but for a last line that was cut short."""

    def write(self, name: str, content: bytes, *, replace: bool, media_type: str = "") -> None:
        """Entry that appears whole or not at all. Raises `FileExistsError` if there is one and not `replace`."""

    def size_bytes(self, name: str) -> int | None:
        """Size of an entry, or None if there is none."""

    def append(self, log: str, part: int, content: bytes) -> None:
        """Addition of whole lines to a log, durable on return.

        A local folder holds a log as one file, an object store as an object for each `part`.
        """

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Lock for the time of a block, or until this process ends. Raises `BlockingIOError` if another holds it.

        An object store has no locks.
        """


def open_storage(url: str, *, scratch: str = "0") -> Storage:
    """The storage at a path or URL. Raises `BadOption` for a scheme that nothing here reads.

    Runs that write to one destination at a time need a different `scratch` each, a name for unfinished files.
    """
    found = _SCHEME.match(url)
    if found is None:
        from virtual_codec.bulk._folder import Folder

        return Folder(url, scratch=scratch)
    if found["scheme"].lower() == "file":
        raise BadOption(f"give a local folder as a path, without file://: {url}")
    from virtual_codec.bulk._objects import ObjectPrefix

    return ObjectPrefix(url)
