"""Training and evaluation need none of the server's packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bare_environment import refused_modules
from tests.conftest import ROOT
from tests.models import make_store
from tests.pictures import saved, scene


def vcodec(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`vcodec` in a process that finds the packages of training alone."""
    return subprocess.run(
        [sys.executable, "-m", "tests.bare_environment", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'service'}:{ROOT}", "CUDA_VISIBLE_DEVICES": ""},
    )


def test_the_servers_packages_are_refused() -> None:
    assert {"pydantic", "pydantic_settings", "fastapi", "starlette", "uvicorn"} <= refused_modules()
    assert not {"torch", "numpy", "PIL", "llvmlite"} & refused_modules()


def test_a_recipe_is_trained(photographs: Path, tmp_path: Path) -> None:
    made = vcodec("train", "smoke", "--data", photographs, "--out", tmp_path, "--steps", 2, "--quiet", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["step"] == 2


def test_a_model_is_measured(tmp_path: Path) -> None:
    store, pictures = make_store(tmp_path / "store").root, tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(saved(scene(176, 192)))
    options = ("--no-foreign", "--anchors", "jpeg", "--qualities", "10,30,50,70", "--jobs", 1, "--quiet")
    made = vcodec(
        "evaluate", "--data", pictures, "--out", tmp_path / "out", "--model-store", store, "--device", "cpu", *options
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "out" / "results.md").is_file()


@pytest.mark.parametrize("name", ["compress", "train"])
def test_a_wrong_variable_is_named_without_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_DEVICES", "cuda;0")
    (tmp_path / "a.png").write_bytes(saved(scene(16, 16)))
    rest = {"compress": (tmp_path / "a.png", "-o", tmp_path / "a.jpg"), "train": ("smoke", "--data", tmp_path)}
    made = vcodec(name, *rest[name], *(("--out", tmp_path / "out") if name == "train" else ()))
    assert made.returncode == 2
    assert "VCODEC_DEVICES: does not have the right form, got 'cuda;0'; it takes: auto" in made.stderr
