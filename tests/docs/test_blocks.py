"""Every block of code in the documents is run, or checked as far as it can be without what it needs.

Python, `curl` and the verbs of `vcodec` that end by themselves are run, against a server on the loopback address. What
the others name has to be there: verbs with their options, recipes, settings, make targets, compose files and services,
extras, modules, routes.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.conftest import ROOT
from tests.docs.blocks import Block, Command, blocks, commands
from tests.models import make_store
from tests.pictures import saved, scene
from tests.served import served
from virtual_codec.api import create_app
from virtual_codec.cli import main, make_parser
from virtual_codec.serving import import_from_string
from virtual_codec.settings import Settings

ADDRESS = "http://127.0.0.1:8000"
RUN = ("compress", "decompress", "info", "compare", "keys", "completion")  # verbs that end by themselves
NEEDS_MORE = ("8001", "9090", "vcodec_...")  # the port for orders, Prometheus, a key that is only shown
BLOCKS = blocks()
SHELL = [block for block in BLOCKS if block.language in ("sh", "console")]
PYTHON = [block for block in BLOCKS if block.language == "python"]
OTHER = {"text", "json", "html", "js"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store")).root


@pytest.fixture(scope="module")
def app_url(store: Path) -> Iterator[str]:
    """Address of a real server, in a thread of this process, with an untrained model."""
    app = create_app(Settings.load(model_store=store, pool="inline", devices="cpu"))
    with served(app) as address:
        while httpx2.get(f"{address}/readyz", timeout=60).status_code != 200:
            time.sleep(0.05)
        yield address


@pytest.fixture
def url(app_url: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server, in a folder that has the files which the documents name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCODEC_MODEL_STORE", str(store))
    picture = saved(scene(176, 192))
    for name in ("photo.png", "restored.png", "photos/a.png", "photos/b.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(picture)
    answer = httpx2.post(f"{app_url}/compress", content=picture, timeout=60)
    Path("small.jpg").write_bytes(answer.raise_for_status().content)
    return app_url


def test_every_block_has_a_language_that_is_treated() -> None:
    assert {block.language for block in BLOCKS} <= {"sh", "console", "python", *OTHER}
    assert len(SHELL) > 20
    assert len(PYTHON) > 5


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs(block: Block, url: str) -> None:
    exec(compile(block.text.replace(ADDRESS, url), str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_runs_or_names_what_is_there(block: Block, url: str) -> None:
    bash = shutil.which("bash")
    if bash is not None and block.language == "sh":
        subprocess.run([bash, "-n"], input=block.text, text=True, check=True)
    found = commands(block)
    assert found
    for command in found:
        treatment = TREATMENTS.get(command.program)
        assert treatment is not None, f"{command.program} needs a row in TREATMENTS"
        _check_settings(command)
        treatment(command, url)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in ("js", "html")], ids=str)
def test_scripts_and_pages_name_routes_of_the_server(block: Block, app_url: str) -> None:
    named = set(re.findall(r"\"(/(?:compress|decompress|web)[^\"?]*)", block.text))
    assert named
    for path in named:
        assert httpx2.get(f"{app_url}{path}", timeout=60).status_code in (200, 405), path  # 405: it takes a POST


def _check_settings(command: Command) -> None:
    known = {f"VCODEC_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in command.variables if name.startswith("VCODEC_")} <= known


def _vcodec(command: Command, url: str) -> None:
    arguments = [argument.replace(ADDRESS, url) for argument in command.arguments]
    if arguments[0] in RUN:
        assert main(arguments) == 0, arguments
        return
    parsed = make_parser().parse_args(arguments)
    if parsed.verb == "train":
        from virtual_codec.training.recipes import RECIPES

        assert parsed.recipes
        assert set(parsed.recipes) <= set(RECIPES)
    if parsed.verb == "models" and parsed.activate is not None:
        assert (ROOT / "model_store" / parsed.activate).is_dir()


def _curl(command: Command, url: str) -> None:
    text = " ".join(command.arguments)
    if shutil.which("curl") is None or any(word in text for word in NEEDS_MORE):
        assert re.search(r"http://127\.0\.0\.1:[0-9]+/", text)
        return
    words = [argument.replace(ADDRESS, url) for argument in command.arguments]
    subprocess.run(["curl", "--noproxy", "*", *words], check=True, capture_output=True)
    if "-o" in words:
        output = Path(words[words.index("-o") + 1])
        assert output.stat().st_size > 100


def _make(command: Command, _url: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command.arguments[0] in targets


def _docker(command: Command, _url: str) -> None:
    words = command.arguments
    assert words[0] in ("compose", "exec")
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for option, value in itertools.pairwise(words):
        if option == "-f":
            assert (ROOT / value).is_file()
        if option == "--profile":
            assert any(value in service.get("profiles", ()) for service in described["services"].values())
        if option == "--scale":
            assert value.partition("=")[0] in described["services"]


def _pip(command: Command, _url: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"\[([a-z0-9,]+)\]", " ".join(command.arguments))
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


def _python(command: Command, url: str) -> None:
    words = command.arguments
    module = words[words.index("-m") + 1]
    assert importlib.util.find_spec(module) is not None
    if module == "virtual_codec":
        _vcodec(Command(variables={}, program="vcodec", arguments=words[words.index("-m") + 2 :]), url)


def _script(command: Command, _url: str) -> None:
    assert (ROOT / "docker" / command.program).is_file()


def _mkdir(command: Command, _url: str) -> None:
    for name in command.arguments:
        Path(name).mkdir()


def _nothing(_command: Command, _url: str) -> None:
    """The shell's own commands: their syntax is checked with the block."""


def _gpu_script(command: Command, _url: str) -> None:
    assert os.access(ROOT / "benchmarks" / "gpu" / command.program, os.X_OK), command.program


def _serve(command: Command, _url: str) -> None:
    verb, application, *settings = command.arguments
    assert verb == "run"
    assert callable(import_from_string(application))
    assert {setting.partition("=")[0] for setting in settings} <= set(Settings.model_fields)


TREATMENTS: dict[str, Callable[[Command, str], None]] = {
    "vcodec": _vcodec,
    "curl": _curl,
    "make": _make,
    "docker": _docker,
    "pip": _pip,
    "python": _python,
    "torchrun": _python,
    "rollout": _script,
    "serve": _serve,
    **dict.fromkeys(("check.sh", "train.sh"), _gpu_script),
    "mkdir": _mkdir,
    **dict.fromkeys(("echo", "kill", "chmod", "for", "ls"), _nothing),
}
