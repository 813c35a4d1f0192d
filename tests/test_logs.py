"""Log lines can be read by people and by programs, whatever is in them."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Literal

import pytest

from tests.conftest import ROOT
from virtual_codec.logs import Event, configure

LOGGER = logging.getLogger("virtual_codec.test_logs")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("virtual_codec", "uvicorn", "asyncio")]
    before = [(it.handlers, it.level, it.propagate) for it in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate
        logger.setLevel(level)


def written(capsys: pytest.CaptureFixture[str], form: Literal["auto", "text", "json"], message: object) -> str:
    configure("info", form)
    LOGGER.info(message)
    LOGGER.debug("never")
    return capsys.readouterr().err


def test_text_is_key_and_value_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = written(capsys, "text", Event("tried", ms=1.23456, by="a b", of='x" \nevent=forged', none=""))
    assert line.endswith(' event=tried ms=1.235 by="a b" of="x\\" \\nevent=forged" none=""\n')
    assert line.count("\n") == 1
    assert " info virtual_codec.test_logs " in line


def test_json_has_the_facts_as_members(capsys: pytest.CaptureFixture[str]) -> None:
    line = json.loads(written(capsys, "json", Event("tried", ms=1.5, error=OSError("no"))))
    assert line["event"] == "tried"
    assert line["ms"] == 1.5
    assert line["error"] == "no"
    assert line["level"] == "info"
    assert line["time"].endswith("Z")


def test_plain_messages_and_exceptions_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(written(capsys, "json", "hello"))["message"] == "hello"
    try:
        io.BytesIO().fileno()
    except OSError:
        LOGGER.exception(Event("broke"))
    assert "UnsupportedOperation" in json.loads(capsys.readouterr().err)["exception"]


def test_log_lines_are_json_if_stderr_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert json.loads(written(capsys, "auto", "hello"))["message"] == "hello"


def test_log_lines_are_text_if_stderr_is_a_terminal() -> None:
    ours, theirs = os.openpty()
    code = "import logging; from virtual_codec.logs import configure; configure('info', 'auto'); "
    code += "logging.getLogger('virtual_codec').info('hello')"
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    assert os.read(ours, 1000).decode().rstrip().endswith(" info virtual_codec hello")
    os.close(ours)


def test_the_docs_name_every_event() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "service").rglob("*.py"))
    events = set(re.findall(r"\bEvent\(\s*\"([a-z_]+)\"", sources))
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    named = set(re.findall("`([a-z_]+)`", page)) | {"request"}
    assert len(events) > 20
    assert events <= named, f"docs/logs.md lacks {', '.join(sorted(events - named))}"
