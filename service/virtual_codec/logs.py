"""Structured logging on stderr: one line for each event, as key=value text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal, Self, final

_UNQUOTED_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/+-{}")
_BOUND_FIELDS: Final[ContextVar[Mapping[str, object]]] = ContextVar("bound", default=MappingProxyType({}))


@final
class Event:
    """Log event with a name and facts: `log.info(Event("worker_ready", worker="cpu/0"))`."""

    def __init__(self, name: str, /, **facts: object) -> None:
        self.facts: dict[str, object] = {"event": name, **facts}

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> Self:
        """Event of another process, from its facts."""
        event = cls("")
        event.facts = dict(facts)
        return event

    def __str__(self) -> str:
        return _line(self.facts)


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Add these facts to every line logged in this context and in tasks started in it.

    Lines with their own `request_id` do not get them, because they are about another request.
    """
    token = _BOUND_FIELDS.set({**_BOUND_FIELDS.get(), **facts})
    try:
        yield
    finally:
        _BOUND_FIELDS.reset(token)


def facts_of(record: logging.LogRecord) -> dict[str, object]:
    """Facts of a log record: its event, the context's facts, and the exception if there is one."""
    own = record.msg.facts if isinstance(record.msg, Event) else {"message": record.getMessage()}
    facts: dict[str, object] = dict(own)
    if "request_id" not in facts:
        facts.update(_BOUND_FIELDS.get())
    if record.exc_info:
        facts["exception"] = logging.Formatter().formatException(record.exc_info)
    return facts


def configure(level: str, form: Literal["auto", "text", "json"]) -> None:
    """Configure logging of the service and its HTTP server to stderr; `auto` is text on a terminal, else JSON."""
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    for name, lowest in (("virtual_codec", level.upper()), ("uvicorn", "WARNING"), ("asyncio", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(lowest)
        logger.propagate = False


@final
class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = facts_of(record)
        exception, message = facts.pop("exception", None), facts.pop("message", None)
        own = [str(message)] if message is not None else []
        line = " ".join([_time(record), record.levelname.lower(), record.name, *own, _line(facts)]).rstrip()
        return f"{line}\n{exception}" if exception else line


@final
class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, **facts_of(record)}
        return json.dumps(line, default=str, ensure_ascii=False)


def _line(facts: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_text(value)}" for name, value in facts.items())


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if text and _UNQUOTED_CHARACTERS.issuperset(text) else json.dumps(text, ensure_ascii=False)
