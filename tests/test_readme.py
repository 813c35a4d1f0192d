"""The README is in step with the code."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.conftest import ROOT, Golden
from virtual_codec.api._openapi import DESCRIPTION
from virtual_codec.api.problems import PROBLEMS
from virtual_codec.cli import VERBS, make_parser
from virtual_codec.jobs import CompressOptions
from virtual_codec.settings import describe

README = ROOT / "README.md"
BEGIN = "<!-- settings: `make golden` writes this table from service/virtual_codec/settings.py -->\n"
END = "<!-- end of settings -->"
RESULTS_BEGIN = "<!-- results: `make golden` writes this table from docs/results/summary.json -->\n"
RESULTS_END = "<!-- end of results -->"


@pytest.fixture
def readme() -> str:
    return README.read_text(encoding="utf-8")


def test_the_settings_table_is_that_of_the_settings(readme: str, golden: Golden) -> None:
    rows = [f"| `{it.variable}` | {it.default} | {it.allowed} | {it.meaning} |" for it in describe()]
    table = "\n".join(["", "| variable | default | takes | meaning |", "| --- | --- | --- | --- |", *rows, "", ""])
    before, rest = readme.split(BEGIN)
    current, after = rest.split(END)
    if golden.rewrites:
        README.write_text(before + BEGIN + table + END + after, encoding="utf-8")
        return
    assert current == table, "README.md lags behind service/virtual_codec/settings.py; `make golden` brings it up"


def test_the_results_are_those_that_were_measured(readme: str, golden: Golden) -> None:
    summary = json.loads((ROOT / "docs" / "results" / "summary.json").read_text(encoding="utf-8"))
    rates = {
        (row["codec"], row["metric"], row["low_bpp"], row["high_bpp"]): f"{row['percent']:+.1f} %"
        for row in summary["bd_rates"]
        if row["set"] == "kodak" and row["percent"] is not None
    }
    lines = [
        "",
        "| Kodak, BD-rate | RGB PSNR, 0.1-0.4 bpp | Y PSNR | MS-SSIM | RGB PSNR, 0.1-1.0 bpp | Y PSNR | MS-SSIM |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = {"virtual-codec": "**virtual-codec**", "webp": "WebP", "jpeg2000": "JPEG 2000", "avif": "AVIF"}
    names |= {"avif-restored": "**AVIF, restored**"}
    for codec, name in names.items():
        cells = [rates[codec, metric, 0.1, high] for high in (0.4, 1.0) for metric in ("psnr_rgb", "psnr_y", "ms_ssim")]
        lines.append(f"| {' | '.join([name, *cells])} |")
    table = "\n".join([*lines, "", ""])
    before, rest = readme.split(RESULTS_BEGIN)
    current, after = rest.split(RESULTS_END)
    if golden.rewrites:
        README.write_text(before + RESULTS_BEGIN + table + RESULTS_END + after, encoding="utf-8")
        return
    assert current == table, "README.md lags behind docs/results; `make golden` brings it up"


def test_every_option_has_a_row(readme: str) -> None:
    rows = "".join(re.findall(r"^\| (`[^|]*) \|", readme, re.MULTILINE))
    missing = [name for name in CompressOptions.__dataclass_fields__ if f"`{name}`" not in rows]
    assert not missing


def test_every_verb_has_a_row(readme: str) -> None:
    assert sorted(re.findall(r"^\| `vcodec ([a-z]+)", readme, re.MULTILINE)) == sorted(VERBS)


def test_every_command_shown_is_one_that_is_taken(readme: str) -> None:
    shown = [
        shlex.split(line, comments=True)[1:]
        for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
        for line in block.splitlines()
        if line.startswith((".venv/bin/vcodec ", "vcodec "))
    ]
    assert len(shown) >= 2
    for argv in shown:
        make_parser().parse_args(argv)


def test_curl_shows_failures_and_never_calls_an_image_a_form() -> None:
    documents = [README, *sorted((ROOT / "docs").glob("*.md"))]
    texts = [document.read_text(encoding="utf-8") for document in documents]
    texts += [DESCRIPTION, *(kind.remedy for kind in PROBLEMS.values())]
    shown = [
        shlex.split(line.lstrip("$ "), comments=True)
        for text in texts
        for line in re.findall(r"(?:^[$ ]*|`)(curl [^`\n]*)", text.replace("\\\n", " "), re.MULTILINE)
    ]
    assert len(shown) >= 8
    for argv in shown:
        if "--data-binary" in argv:  # or curl says that it is application/x-www-form-urlencoded, which is refused
            assert any(word.startswith("Content-Type: image/") for word in argv), argv
        flags = "".join(word[1:] for word in argv if re.fullmatch("-[a-zA-Z]+", word))
        assert "s" not in flags or "S" in flags, argv  # silent about errors too


def test_every_make_target_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = re.findall(
            r"\bmake ([a-z-]+)`?",
            "\n".join(re.findall(r"`[^`]*`|```.*?```", (ROOT / document).read_text(), re.DOTALL)),
        )
        assert named
        assert set(named) <= targets


def test_every_place_named_is_there(readme: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
    tree = re.findall(r"^  (?:[a-z_/.]+ +)*?([a-z_]+(?:/|\.py))", readme, re.MULTILINE)
    assert len(tree) > 8
    for place in (*links, *(f"service/virtual_codec/{name}" for name in tree)):
        assert (ROOT / place).exists(), place
