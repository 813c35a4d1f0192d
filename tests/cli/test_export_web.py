"""`vcodec export --web` writes the files for browsers, whole, and only on its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.conftest import ROOT
from virtual_codec.cli import main

STORE = ["--model-store", str(ROOT / "model_store")]


def test_a_store_is_written_as_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "site" / "web"
    for _ in range(2):  # a second export finds the files of the first
        assert main(["export", "--web", str(folder), *STORE]) == 0
    assert str(folder) in capsys.readouterr().out
    rows = json.loads((folder / "manifest.json").read_text())["files"]
    assert {row["path"]: row["sha256"] for row in rows} == {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def test_files_that_differ_are_replaced_with_force_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text("of somebody else")
    assert main(["export", "--web", str(tmp_path), *STORE]) == 1
    assert f"{manifest} exists and differs; --force replaces it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert manifest.read_text() == "of somebody else"
    assert main(["export", "--web", str(tmp_path), "--force", *STORE]) == 0
    assert json.loads(manifest.read_text())["files"]


@pytest.mark.parametrize(
    "argv", [["run", "--web", "site"], ["--web", "site", "--name", "x"], ["run"], ["run", "--name", "x"], []]
)
def test_runs_and_a_site_are_not_exported_together(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *argv]) == 2
    assert "--web" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
