"""Index of a bulk run: the listing joined with the manifest of earlier runs, in a temporary SQLite database.

Millions of names do not fit into memory with ease; on disk they do, and SQLite finds two inputs of one output.
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
_JOINED: Final = """
SELECT task.source, task.output, task.version, task.source_bytes,
       record.source IS NOT NULL AND record.output = task.output,
       record.source_sha256, record.output_bytes, record.output_sha256
FROM task LEFT JOIN record ON record.source = task.source
"""
_IS_DONE: Final = """
coalesce(record.source_sha256 != '' AND record.output = task.output
         AND record.version = task.version AND record.source_bytes = task.source_bytes, 0)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One source and the output it becomes.

    `is_owned` is true if a bulk run wrote the output or was about to; only such an output is replaced. The digests
    and the size are those of the source and output that the manifest knows, empty and 0 if there was none.
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
        """Close the database; its file is the caller's to remove."""
        self._database.close()

    def add_records(self, records: Iterable[Task]) -> None:
        """Records of a manifest, later ones in place of earlier ones. One without digests was not finished."""
        self._database.execute("BEGIN")
        for it in records:
            values = (_key(it.source), _key(it.output), it.version, it.source_bytes)
            digests = (it.source_sha256, it.output_bytes, it.output_sha256)
            # What was begun and not finished does not undo an earlier finish.
            clause = "OR REPLACE" if it.source_sha256 else "OR IGNORE"
            self._database.execute(f"INSERT {clause} INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, *digests))
        self._database.execute("COMMIT")

    def add_tasks(self, entries: Iterable[tuple[Entry, str]]) -> tuple[str, str, str] | None:
        """Entries with the name of their output each.

        Returns the first two sources of one output, and that output, or None where all are apart.
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
        """Number and source bytes of the tasks that are done, or of those that are not."""
        query = f"SELECT count(*), coalesce(sum(source_bytes), 0) FROM ({_JOINED} WHERE {_IS_DONE} = ?)"
        number, size_bytes = self._database.execute(query, (done,)).fetchone()
        return number, size_bytes

    def tasks(self, *, done: bool, size: int) -> Iterator[list[Task]]:
        """Tasks that were done, or were not, when this is called: in order of their names, `size` at a time."""
        after = b""
        while True:
            query = f"{_JOINED} WHERE task.source > ? AND {_IS_DONE} = ? ORDER BY task.source LIMIT ?"
            rows = self._database.execute(query, (after, done, size)).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield [_task(row) for row in rows]

    def forget(self, source: str) -> None:
        """Make a task that was done one that is not; its output stays owned."""
        self._database.execute("UPDATE record SET source_sha256 = '' WHERE source = ?", (_key(source),))

    def add_failure(self, source: str, code: str, detail: str) -> None:
        """Failure of this run."""
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
    return name.encode("utf-8", "surrogateescape")  # names of files need not be text


def _name(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
