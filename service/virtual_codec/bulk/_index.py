"""Index of a bulk run: the listing joined with the manifest of earlier runs, in a temporary SQLite database.

The index is on disk, because millions of names need much memory. SQLite also finds two sources of one output.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from virtual_codec.bulk.storage import Entry

_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE record (
    source BLOB PRIMARY KEY, output BLOB NOT NULL, version TEXT NOT NULL, source_bytes INTEGER NOT NULL,
    source_sha256 TEXT NOT NULL, output_bytes INTEGER NOT NULL, output_sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE task (
    source BLOB PRIMARY KEY, output BLOB NOT NULL UNIQUE, version TEXT NOT NULL, source_bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE failure (source BLOB PRIMARY KEY, code TEXT NOT NULL, detail TEXT NOT NULL) WITHOUT ROWID;
"""
_JOINED_QUERY: Final = """
SELECT task.source, task.output, task.version, task.source_bytes,
       record.source IS NOT NULL AND record.output = task.output,
       record.source_sha256, record.output_bytes, record.output_sha256
FROM task LEFT JOIN record ON record.source = task.source
"""
_IS_DONE_EXPRESSION: Final = """
coalesce(record.source_sha256 != '' AND record.output = task.output
         AND record.version = task.version AND record.source_bytes = task.source_bytes, 0)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Source and its output.

    `is_owned` is True if a bulk run wrote the output or began to. Only such an output is replaced. The digests and
    `output_bytes` are those of the manifest, empty and 0 if it has none.
    """

    source: str
    output: str
    version: str
    source_bytes: int
    is_owned: bool = False
    source_sha256: str = ""
    output_bytes: int = 0
    output_sha256: str = ""


@final
class Index:
    """Tasks, records and failures, by source name. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database. The caller removes its file."""
        self._database.close()

    def add_records(self, records: Iterable[Task]) -> None:
        """Add records of a manifest. Later ones replace earlier ones. A record without digests was not finished."""
        self._database.execute("BEGIN")
        for record in records:
            values = (_key(record.source), _key(record.output), record.version, record.source_bytes)
            digests = (record.source_sha256, record.output_bytes, record.output_sha256)
            # An unfinished record does not replace a finished one.
            clause = "OR REPLACE" if record.source_sha256 else "OR IGNORE"
            self._database.execute(f"INSERT {clause} INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, *digests))
        self._database.execute("COMMIT")

    def add_tasks(self, entries: Iterable[tuple[Entry, str]]) -> tuple[str, str, str] | None:
        """Add tasks: pairs of an entry and the name of its output.

        Returns the first two sources that have the same output, and that output, or None if all outputs differ.
        """
        self._database.execute("BEGIN")
        try:
            for entry, output in entries:
                values = (_key(entry.name), _key(output), entry.version, entry.size_bytes)
                try:
                    self._database.execute("INSERT INTO task VALUES (?, ?, ?, ?)", values)
                except sqlite3.IntegrityError:
                    rows = self._database.execute("SELECT source FROM task WHERE output = ?", (_key(output),))
                    (other,) = rows.fetchone() or (_key(entry.name),)
                    return _name(other), entry.name, output
        finally:
            self._database.execute("COMMIT")
        return None

    def count(self, *, done: bool) -> tuple[int, int]:
        """Number of tasks and of their source bytes, of those that are done or of those that are not."""
        query = (
            f"SELECT count(*), coalesce(sum(source_bytes), 0) FROM ({_JOINED_QUERY} WHERE {_IS_DONE_EXPRESSION} = ?)"
        )
        number, size_bytes = self._database.execute(query, (done,)).fetchone()
        return number, size_bytes

    def tasks(self, *, done: bool, size: int) -> Iterator[list[Task]]:
        """Tasks that are done, or that are not, in order of their sources' names, `size` at a time."""
        after = b""
        while True:
            query = f"{_JOINED_QUERY} WHERE task.source > ? AND {_IS_DONE_EXPRESSION} = ? ORDER BY task.source LIMIT ?"
            rows = self._database.execute(query, (after, done, size)).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield [_task(row) for row in rows]

    def forget(self, source: str) -> None:
        """Mark a finished task as not done. Its output stays owned."""
        self._database.execute("UPDATE record SET source_sha256 = '' WHERE source = ?", (_key(source),))

    def add_failure(self, source: str, code: str, detail: str) -> None:
        """Add a failure of this run."""
        self._database.execute("INSERT OR REPLACE INTO failure VALUES (?, ?, ?)", (_key(source), code, detail))

    def failures(self) -> Iterator[tuple[str, str, str]]:
        """Source, code and detail of each failure of this run, in order of the sources' names."""
        for source, code, detail in self._database.execute("SELECT * FROM failure ORDER BY source"):
            yield _name(source), code, detail


def _task(row: tuple[bytes, bytes, str, int, int, str | None, int | None, str | None]) -> Task:
    source, output, version, source_bytes, is_owned, source_sha256, output_bytes, output_sha256 = row
    return Task(
        source=_name(source),
        output=_name(output),
        version=version,
        source_bytes=source_bytes,
        is_owned=bool(is_owned),
        source_sha256=source_sha256 or "",
        output_bytes=output_bytes or 0,
        output_sha256=output_sha256 or "",
    )


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")  # file names need not be valid UTF-8


def _name(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
