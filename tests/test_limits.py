"""docs/limits.md lists every limit there is, as the code has it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.conftest import ROOT, Golden
from virtual_codec.api.problems import PROBLEMS
from virtual_codec.settings import Settings, describe

PAGE = ROOT / "docs" / "limits.md"
BEGIN = "<!-- limits: `make golden` writes this table from the code -->\n"
END = "<!-- end of limits -->"


class Limit(NamedTuple):
    """A limit on requests or images: its setting (or what it always is), and the problem of who passes it."""

    code: str
    setting: str = ""
    fixed: str = ""
    what: str = ""


LIMITS = [
    Limit("headers_too_large", "max_header_bytes"),
    Limit("headers_timeout", "header_timeout_s"),
    Limit("body_too_large", "max_body_bytes"),
    Limit("body_timeout", "body_timeout_s"),
    Limit("too_many_parts", "max_fields"),
    Limit("too_many_parts", fixed="1", what="files in a form"),
    Limit("field_too_large", "max_field_bytes"),
    Limit("deadline_exceeded", "timeout_s"),
    Limit("bad_option", "max_effort"),
    Limit("too_many_pixels", "max_pixels"),
    Limit("side_too_long", "max_side"),
    Limit("animated_image", fixed="1", what="frames, or pages, of an image"),
    Limit("too_many_scans", "max_scans"),
    Limit("too_many_segments", "max_segments"),
    Limit("too_many_segments", "max_chunks"),
    Limit("too_many_segments", "max_blocks"),
    Limit("profile_too_large", "max_profile_bytes"),
]

OF_THE_SERVICE = {"max_pending_bytes", "max_timeout_s"}  # they refuse nothing by themselves, or everybody


def test_every_limit_among_the_settings_is_listed() -> None:
    limits = {name for name in Settings.model_fields if name.startswith("max_") or name.endswith("timeout_s")}
    assert {limit.setting for limit in LIMITS if limit.setting} == limits - OF_THE_SERVICE


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.setting or limit.what)
def test_every_limit_has_a_problem_that_a_caller_can_mend(limit: Limit) -> None:
    assert 400 <= PROBLEMS[limit.code].status < 500 or limit.code == "deadline_exceeded"


def test_the_page_lists_them(golden: Golden) -> None:
    described = {it.variable: it for it in describe()}
    lines = ["", "| what | default | variable | status | code |", "| --- | --- | --- | --- | --- |"]
    for limit in LIMITS:
        status = PROBLEMS[limit.code].status
        if limit.setting:
            variable, default, _, what = described[f"VCODEC_{limit.setting.upper()}"]
            lines.append(f"| {what} | {default} | `{variable}` | {status} | `{limit.code}` |")
        else:
            lines.append(f"| {limit.what} | {limit.fixed} | | {status} | `{limit.code}` |")
    table = "\n".join([*lines, "", ""])
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    current, after = rest.split(END)
    if golden.rewrites:
        PAGE.write_text(before + BEGIN + table + END + after, encoding="utf-8")
        return
    assert current == table, "docs/limits.md lags behind the code; `make golden` brings it up"
