"""Manifest of a destination: logs of JSON lines on what the runs did.

    {"event": "run", ...}      options, once for each run
    {"event": "begun", ...}    written before an output, so that a later run knows that a bulk run owns the output
    {"event": "done", ...}     written after an output, with the digests of source and output
    {"event": "failed", ...}   code and detail; a later run tries again

Every run writes a new log. Nothing is rewritten. An incomplete last line is ignored.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final, final

from virtual_codec.bulk._index import Index, Task
from virtual_codec.bulk.storage import RESERVED, Storage
from virtual_codec.errors import BadOption

LOGS: Final = f"{RESERVED}/manifest"
_UNFINISHED: Final = {"source_sha256": "", "output_bytes": 0, "output_sha256": ""}  # values of a task that is not done
_FLUSH_S: Final = 5.0  # time between flushes to an object store; a killed run repeats the work of one such period
_FLUSH_LINES: Final = 256


@final
class Manifest:
    """Log of this run in a destination."""

    def __init__(self, target: Storage, log: str) -> None:
        self._target = target
        self._log = f"{LOGS}/{log}"
        self._part = 0
        self._lines: list[bytes] = []
        self._flushed_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """True if `flush` should be called: after each line for a folder, periodically for an object store."""
        if not self._lines:
            return False
        is_old = time.monotonic() - self._flushed_at > _FLUSH_S
        return self._target.is_local or is_old or len(self._lines) >= _FLUSH_LINES

    def add(self, event: str, facts: Mapping[str, object]) -> None:
        """Add a line. It is written by the next `flush`."""
        self._lines.append(json.dumps({"event": event, **facts}).encode() + b"\n")

    def flush(self) -> None:
        """Write the added lines, durably. After an `OSError` they are kept for the next call.

        It may run in another thread than `add`, but only once at a time.
        """
        if count := len(self._lines):
            self._target.append(self._log, self._part, b"".join(self._lines[:count]))
            del self._lines[:count]  # without the lines that were added in the meantime
            self._part += 1
        self._flushed_at = time.monotonic()


def read_manifest(target: Storage, index: Index, run: Mapping[str, object]) -> tuple[int, Mapping[str, str]]:
    """Fill the index with the records of earlier runs, in their order.

    Returns the number of the next run, and the models that the first run recorded, if any. Raises `BadOption` if the
    options of earlier runs differ from `run`, and for a file that is not a manifest.
    """
    names = sorted(entry.name for entry in target.entries(LOGS) if entry.name.endswith(".jsonl"))
    last = max((_run_number(target, name) for name in names), default=0)
    models: dict[str, str] = {}
    index.add_records(_records(target, names, run, models))
    return last + 1, models


def log_name(number: int) -> str:
    """Name of a new run's log. The number gives the order of runs; logs of shards may have the same number."""
    return f"{number:08}-{secrets.token_hex(4)}"


def _run_number(target: Storage, name: str) -> int:
    number = name.removeprefix(f"{LOGS}/").partition("-")[0]
    if not (number.isascii() and number.isdigit()):
        raise _no_manifest(target, name)
    return int(number)


def _records(target: Storage, names: list[str], run: Mapping[str, object], models: dict[str, str]) -> Iterator[Task]:
    """Tasks of the logs; `models` takes those of the first run that recorded any."""
    for name in names:
        for line in target.lines(name):
            try:
                facts = json.loads(line)
                event = facts.pop("event")
                task = _task_of(facts) if event in ("begun", "done") else None
            except (ValueError, KeyError, AttributeError, TypeError):
                raise _no_manifest(target, name) from None
            if event == "run":
                _check_same(target, facts, run)
                if not models and isinstance(recorded := facts.get("models"), dict):
                    models.update({str(name): str(model) for name, model in recorded.items()})
            elif task is not None:
                yield task


def _task_of(facts: Mapping[str, Any]) -> Task:
    """Task of a line. Raises `KeyError` for a missing value and `TypeError` for one of a wrong type."""
    known = {**_UNFINISHED, **facts}
    values = {each.name: known[each.name] for each in fields(Task) if each.name != "is_owned"}
    for name, value in values.items():
        if not isinstance(value, int if name.endswith("_bytes") else str):
            raise TypeError(name)
    return Task(**values)


def _no_manifest(target: Storage, name: str) -> BadOption:
    return BadOption(f"{target.url}/{name} is not a manifest of a bulk run; move it away")


def _check_same(target: Storage, earlier: Mapping[str, object], run: Mapping[str, object]) -> None:
    for name, value in run.items():
        if earlier.get(name) != value:
            raise BadOption(
                f"{target.url} holds outputs of a run with {name} {json.dumps(earlier.get(name))}, not "
                f"{json.dumps(value)}; give the same options, or another destination"
            )
