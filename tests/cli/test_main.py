from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service import __version__
from service.cli import VERBS, main
from service.settings import describe


def test_every_verb_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listing = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert name in listing
        assert verb.summary in listing
        assert main([name, "--help"]) == 0
        assert f"usage: vcodec {name}" in capsys.readouterr().out


def test_the_verbs_are_those_of_the_contract() -> None:
    assert list(VERBS) == ["serve", "compress", "decompress", "train", "evaluate", "models", "bench"]


@pytest.mark.parametrize(
    "argv", [[], ["shrink"], ["compress"], ["compress", "a.png"], ["serve", "--port", "x"]]
)
def test_misuse_is_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vcodec {__version__}\n"


def test_help_loads_nothing_heavy_and_the_module_is_the_command() -> None:
    code = (
        "import sys; from service.cli import main; main(['compress', '--help'])\n"
        "print(sorted({'numpy', 'pydantic', 'torch', 'PIL', 'tqdm', 'fastapi'} & set(sys.modules)))"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert fresh.stdout.splitlines()[-1] == "[]"
    module = subprocess.run([sys.executable, "-m", "service"], capture_output=True, text=True, check=False)
    assert module.returncode == 2
    assert module.stderr.startswith("usage: vcodec")


def test_serve_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    listing = capsys.readouterr().out
    for setting in describe():
        assert f"{setting.variable} ({setting.default})" in listing


def test_serve_shows_the_settings_in_force(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCODEC_PORT", "9000")
    monkeypatch.setenv("VCODEC_API_KEYS", "hunter2")
    assert main(["serve", "--check", "--host", "0.0.0.0"]) == 0
    text = capsys.readouterr().out
    settings = json.loads(text)
    assert (settings["host"], settings["port"]) == ("0.0.0.0", 9000)
    assert "hunter2" not in text


def test_a_wrong_setting_is_a_misuse_that_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCODEC_PORT", "many")
    assert main(["serve", "--check"]) == 2
    assert "VCODEC_PORT" in capsys.readouterr().err


def test_an_empty_store_has_no_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["models", "--json", "--model-store", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["models", "--model-store", str(tmp_path / "nowhere")]) == 1
    assert "there is no model store at" in capsys.readouterr().err
