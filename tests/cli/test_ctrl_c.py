"""Ctrl-C in real processes: one line, status 130, and nothing half-written, whatever the moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.load_test.echo_server import running_server
from tests.models import make_store
from tests.pictures import scene

# As the installed command, and with the SIGINT of a terminal, which background jobs of a shell ignore.
VCODEC = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from virtual_codec.__main__ import main
sys.exit(main())
"""
SAID = "vcodec: interrupted\n"


@contextmanager
def vcodec(*line: str | Path, python: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """A command that runs; it is killed at the end of the block if it still does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    pipe = subprocess.PIPE
    command = [sys.executable, *python, "-c", VCODEC, *map(str, line)]
    with subprocess.Popen(command, env=environment, text=True, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Press Ctrl-C: the status, and what it says on stdout and stderr from then on."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_for(process: subprocess.Popen[str], condition: Callable[[], object]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("ctrl-c") / "store").root


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small picture, and one that takes some seconds after it."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(scene(64, 64)).save(folder / "a.png")
    Image.fromarray(np.tile(scene(500, 500), (8, 8, 1))).save(folder / "b.png", compress_level=1)
    for name in ("a", "b"):
        Image.open(folder / f"{name}.png").save(folder / f"{name}.jpg")
    return folder


@pytest.mark.parametrize("module", ["virtual_codec.cli._verb", "numpy", "torch", "virtual_codec.codec"])
def test_while_it_starts_ctrl_c_ends_it_at_once(module: str, photos: Path, store: Path, tmp_path: Path) -> None:
    line = ("compress", photos / "a.png", "-o", tmp_path / "a.jpg", "--model-store", store)
    with vcodec(*line, python=("-X", "importtime")) as process:
        assert process.stderr is not None
        for imported in process.stderr:
            if imported.rpartition("|")[2].strip().startswith(module):
                break
        status, out, err = interrupted(process)
    said = [text for text in err.splitlines(keepends=True) if not text.startswith("import time:")]
    assert (status, out, said) == (130, "", [SAID])
    assert not (tmp_path / "a.jpg").exists()


@pytest.mark.parametrize("line", [("compress", ".png", ".jpg"), ("decompress", ".jpg", ".png")])
def test_while_it_works_ctrl_c_ends_it_in_order(
    line: tuple[str, str, str], photos: Path, store: Path, tmp_path: Path
) -> None:
    verb, before, after = line
    inputs = [photos / f"a{before}", photos / f"b{before}"]
    with vcodec(verb, *inputs, "-o", tmp_path, "--model-store", store) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(str(inputs[0]))
        time.sleep(0.5)
        status, out, err = interrupted(process)
    assert (status, out, err) == (130, "", SAID)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{after}"]


@pytest.mark.slow
def test_an_evaluation_ends_in_order(store: Path, tmp_path: Path) -> None:
    data, points = tmp_path / "data", tmp_path / "out" / "points.csv"
    data.mkdir()
    Image.fromarray(scene(200, 200)).save(data / "a.png")
    qualities = ",".join(map(str, range(10, 90)))
    flags = ["--anchors", "jpeg", "--qualities", qualities, "--no-foreign", "--cache", str(tmp_path / "cache")]
    with vcodec("evaluate", "--data", data, "--out", points.parent, "--model-store", store, *flags) as process:
        wait_for(process, lambda: points.exists() and len(points.read_text().splitlines()) > 2)
        assert interrupted(process) == (130, "", SAID)
    assert len(points.read_text().splitlines()) < 80


def test_a_training_keeps_its_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    data, out = tmp_path / "photographs", tmp_path / "run"
    data.mkdir()
    for index in range(20):
        Image.fromarray(scene(100, 108, seed=index)).save(data / f"{index}.png")
    line = ("train", "smoke", "--data", data, "--out", out, "--steps", "100000", "--threads", "1", "--quiet")
    with vcodec(*line) as process:
        wait_for(process, (out / "log.csv").exists)
        status, said, err = interrupted(process)
    assert status == 130
    assert said.startswith("smoke: step ")
    assert err == f"vcodec: interrupted; the checkpoint is in {out}; --resume continues from it\n"
    assert (out / "checkpoint.safetensors").exists()


def test_a_load_ends_in_order() -> None:
    with (
        running_server() as server,
        vcodec("bench", "--url", server.url, "--sizes", "8x8", "--seconds", "600") as process,
    ):
        wait_for(process, lambda: len(server.seen) > 20)
        assert interrupted(process) == (130, "", SAID)
