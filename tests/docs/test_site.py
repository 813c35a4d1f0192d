"""The documentation builds as a site without a warning, and every page says what it is for and what to conclude."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

DOCS = ROOT / "docs"
# Commands write these pages without prose; `measured.md` says what each is for and what to conclude.
GENERATED = {"effort.md", "results/results.md", "results/other-sets/results.md"}
WRITTEN = sorted(
    str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if str(path.relative_to(DOCS)) not in GENERATED
)


def test_the_site_builds_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False
    )
    assert built.returncode == 0, built.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link)\b[^>]*?(?:src|href)=\"(https?:)?//[^\"]*\"", page.read_text())
        assert loaded == [], page.name


def test_every_page_stands_in_the_navigation() -> None:
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {*WRITTEN, *GENERATED}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_begins_with_its_purpose_and_ends_with_a_conclusion(name: str) -> None:
    blocks = (DOCS / name).read_text().strip().split("\n\n")
    assert blocks[0].startswith("# ")
    assert re.match(r"[A-Z`*]", blocks[1]), "a paragraph, no code, list or picture"
    headings = [block for block in blocks if re.match(r"## ", block)]
    assert headings[-1] == "## What to conclude"
    assert blocks[-1] != headings[-1]


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOCS.rglob("*.md")], ids=lambda path: path.name)
def test_every_item_of_a_list_begins_a_line(path: Path) -> None:
    merged = re.search(r"(?:[.;:] [-*]$|[.;:] - \*\*)", path.read_text(), re.MULTILINE)
    assert merged is None, f"an item of a list stands within a line: {merged.group()!r}"


def test_the_pictures_of_the_gallery_are_small() -> None:
    pictures = list((DOCS / "gallery").glob("*.webp"))
    assert pictures
    assert sum(picture.stat().st_size for picture in pictures) < 2_000_000
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text())["theme"]["font"] is False
