"""Journal of measurements: a CSV file from which an interrupted run resumes."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, final

Row = TypeVar("Row")


@final
class Journal(Generic[Row]):
    """Rows of one frozen dataclass, each appended to a file as it is added.

    The fields are of type str, int, float or float | None. `columns` are names of fields and properties. `rows` are
    those of an interrupted run; the file keeps them.
    """

    def __init__(self, path: Path, columns: Iterable[str], rows: Iterable[Row] = ()) -> None:
        self.rows: list[Row] = list(rows)
        self._path = path
        self._columns = tuple(columns)
        self._write()

    def add(self, row: Row) -> None:
        """Append a row to the list and to the file."""
        self.rows.append(row)
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(self._cells(row))

    def finish(self, order: Callable[[Row], Any]) -> None:
        """Rewrite the file atomically, sorted by `order`."""
        self.rows.sort(key=order)
        self._write()

    def _write(self) -> None:
        unfinished = self._path.with_suffix(".part")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._columns)
            writer.writerows(self._cells(row) for row in self.rows)
        os.replace(unfinished, self._path)

    def _cells(self, row: Row) -> list[str]:
        return [_text(getattr(row, column)) for column in self._columns]


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Rows of a journal's file, empty if there is no file. An incomplete last row is left out."""
    if not path.exists():
        return []
    parsers = {field.name: _PARSERS[str(field.type)] for field in fields(kind)}  # type: ignore[arg-type]
    with path.open(newline="", encoding="utf-8") as file:
        cells = [row for row in csv.DictReader(file) if None not in row.values()]
    # A file of an earlier version lacks the columns added since.
    return [kind(**{name: parse(row.get(name, "")) for name, parse in parsers.items()}) for row in cells]


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.7g}" if isinstance(value, float) else str(value)


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "str": str,
    "int": int,
    "float": float,
    "float | None": lambda text: float(text) if text else None,
}
