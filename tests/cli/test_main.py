from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from virtual_codec import __version__
from virtual_codec.cli import VERBS, main
from virtual_codec.settings import describe
from virtual_codec.store import Manifest, ModelStore, NetworkEntry, default_model_store, model_id


def test_every_verb_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listing = " ".join(capsys.readouterr().out.split())  # a long summary is wrapped
    for name, verb in VERBS.items():
        assert name in listing
        assert verb.summary in listing
        assert main([name, "--help"]) == 0
        assert f"usage: vcodec {name}" in capsys.readouterr().out


def test_the_verbs_are_those_of_the_contract() -> None:
    contract = ["serve", "compress", "decompress", "train", "evaluate", "models", "bench"]
    assert [
        verb for verb in VERBS if verb not in ("info", "compare", "bulk", "export", "keys", "completion")
    ] == contract


@pytest.mark.parametrize("argv", [[], ["shrink"], ["compress"], ["compress", "a.png"], ["serve", "--port", "x"]])
def test_misuse_is_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vcodec {__version__}\n"


def test_help_loads_nothing_heavy_and_the_module_is_the_command() -> None:
    code = (
        "import sys; from virtual_codec.cli import main; main(['compress', '--help'])\n"
        "print(sorted({'numpy', 'pydantic', 'torch', 'PIL', 'tqdm', 'fastapi'} & set(sys.modules)))"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert fresh.stdout.splitlines()[-1] == "[]"
    module = subprocess.run([sys.executable, "-m", "virtual_codec"], capture_output=True, text=True, check=False)
    assert module.returncode == 2
    assert module.stderr.startswith("usage: vcodec")


def test_serve_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    listing = capsys.readouterr().out
    for setting in describe():
        assert f"{setting.variable} ({setting.default})" in listing


def test_serve_shows_the_settings_in_force(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_check_opens_what_can_be_opened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VCODEC_PROT", "9000")
    assert main(["serve", "--check"]) == 0
    told = capsys.readouterr().err
    assert "VCODEC_PROT is not a setting; did you mean VCODEC_PORT?" in told
    default = ModelStore(default_model_store()).default
    assert f"ready to serve {default.name} ({default.id})" in told
    monkeypatch.setenv("VCODEC_MODEL_STORE", str(tmp_path))
    assert main(["serve", "--check"]) == 2
    assert "the model store is empty" in capsys.readouterr().err
    monkeypatch.delenv("VCODEC_MODEL_STORE")
    monkeypatch.setenv("VCODEC_API_KEYS_FILE", str(tmp_path / "none"))
    assert main(["serve", "--check"]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_several_wrong_settings_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_PORT", "many")
    monkeypatch.setenv("VCODEC_POOL", "swarm")
    assert main(["serve"]) == 2
    head, port, pool = capsys.readouterr().err.splitlines()
    assert head == "vcodec: several settings are wrong:"
    assert port.startswith("  VCODEC_PORT: ")
    assert pool.startswith("  VCODEC_POOL: ")


@pytest.mark.parametrize(
    "argv",
    [
        ["serve"],
        ["compress", "a.png", "-o", "b.jpg"],
        ["models"],
        ["evaluate", "--data", ".", "--out", "out"],
        ["export", "--web", "site"],
    ],
)
def test_a_store_that_is_not_there_is_a_misuse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: list[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCODEC_MODEL_STORE", str(tmp_path / "nowhere"))
    assert main(argv) == 2
    told = capsys.readouterr().err
    assert f"there is no model store at {tmp_path / 'nowhere'}; set VCODEC_MODEL_STORE to its folder" in told


def test_an_empty_store_has_no_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["models", "--json", "--model-store", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["models", "--model-store", str(tmp_path / "nowhere")]) == 2
    assert "there is no model store at" in capsys.readouterr().err


def test_models_are_listed_with_the_default_marked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, weights in (("first", "a" * 64), ("second", "b" * 64)):
        entry = NetworkEntry(architecture="postprocess", arguments={}, file="x.safetensors", sha256=weights)
        networks = {"postprocess-2": entry}
        manifest = Manifest(
            name=name,
            id=model_id(networks),
            created="2026-01-02",
            retired=name == "first",
            licence="" if name == "first" else "Apache-2.0",
            data_licences=[] if name == "first" else ["CC0", "MIT"],
            codecs=["jpeg"],
            networks=networks,
            metrics={"psnr_db": 30.5},
        )
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(manifest.to_json())
        (tmp_path / name / entry.file).touch()
    (tmp_path / "CURRENT").write_text("second\n")
    assert main(["models", "--model-store", str(tmp_path)]) == 0
    head, first, second, data = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "ID", "CREATED", "SCALES", "CODECS", "LICENCE"]
    assert "jpeg    Apache-2.0" in second
    assert data == "second was trained on pictures under: CC0, MIT"
    assert first.split()[0] == "first"
    assert first.endswith("retired")
    assert second.split()[:2] == ["*", "second"]
    assert main(["models", "--json", "--model-store", str(tmp_path)]) == 0
    described = json.loads(capsys.readouterr().out)
    assert [(it["name"], it["default"], it["scales"]) for it in described] == [
        ("first", False, [2]),
        ("second", True, [2]),
    ]
    assert described[0]["metrics"] == {"psnr_db": 30.5}
    assert (described[1]["licence"], described[1]["data_licences"]) == ("Apache-2.0", ["CC0", "MIT"])


def test_train_lists_each_recipe_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    from virtual_codec.training.recipes import RECIPES

    assert main(["train", "--help"]) == 0
    listing = capsys.readouterr().out.partition("recipes:\n")[2].splitlines()
    assert [line.split()[0] for line in listing] == list(RECIPES)
    assert all(line.endswith(".") for line in listing)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("evaluate --data nowhere --out out", "--data: nowhere is not a folder"),
        ("train smoke --data nowhere --out out", "--data: nowhere is not a folder"),
        ("train smoke --data . --start-from nowhere --out out", "--start-from: nowhere does not exist"),
        ("export nowhere --name new --data . --model-store out", "RUN: nowhere is not a folder"),
        ("export . --name new --data nowhere --model-store out", "--data: nowhere is not a folder"),
        ("export . --name new --data . --notes nowhere --model-store out", "--notes: nowhere does not exist"),
        ("bench nowhere", "IN: nowhere does not exist"),
        ("compare a.png nowhere --diff out", "B: nowhere does not exist"),
    ],
)
def test_an_input_that_does_not_exist_is_a_misuse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, complaint: str
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    assert capsys.readouterr().err == f"vcodec: {complaint}\n"
    assert not (tmp_path / "out").exists()


def test_an_unknown_recipe_is_a_misuse_that_lists_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "magic", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "no recipe 'magic'; have " in capsys.readouterr().err


def test_an_unknown_model_is_a_misuse_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    places = [
        str(tmp_path / "a.png"),
        "-o",
        str(tmp_path / "a.jpg"),
        "--model-store",
        str(tmp_path / "store"),
    ]
    (tmp_path / "store").mkdir()
    assert main(["compress", *places, "--model", "magic"]) == 2
    assert "no model 'magic'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--device tpu", "vcodec: no device 'tpu'; give cpu, cuda or cuda:N\n"),
        ("--device meta:x", "vcodec: no device 'meta:x'; give cpu, cuda or cuda:N\n"),
        ("--codec gif", "codec must be one of avif, jpeg, jpeg2000, webp, got 'gif'"),
        (f"--codec {'x' * 99}", f"codec must be one of avif, jpeg, jpeg2000, webp, got '{'x' * 40}'"),
    ],
)
def test_what_this_machine_has_not_is_a_misuse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: str, complaint: str
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert main(["compress", str(tmp_path / "a.png"), "-o", str(tmp_path / "a.jpg"), *arguments.split()]) == 2
    assert complaint in capsys.readouterr().err
