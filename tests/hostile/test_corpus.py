"""Every hostile file gets its answer, at little cost, from a process that lives on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import ROOT, Golden
from tests.fuzz.server import Served, serving
from tests.hostile.files import EITHER, Case, cases
from tests.hostile.judge import MOST_MEMORY_BYTES
from virtual_codec.api.problems import PROBLEMS

MOST_CPU_S = 2.0  # of any file, and besides for each megapixel of a picture that comes out:
MOST_CPU_S_PER_MEGAPIXEL = 0.2
Verdicts = dict[str, dict[str, Any]]

OVER_HTTP = [
    *(
        "cmyk",
        "16 bits colour",
        "transparent palette",
        "65500x1 png",
        "65535x1 png",
        "1x65500 jpeg",
        "jpeg turned 6",
        "png turned 65535",
    ),
    *("scan bomb", "header bomb png", "header bomb gif frame", "promise of 49 MP, 100 bytes", "zip bomb of a profile"),
    *("zip bomb of text", "segments", "chunks", "apng", "pages", "png and an archive", "half a webp", "half a avif"),
    *("html", "svg", "nothing", "lossless jpeg", "jpeg of 12 bits", "a million restarts", "side too long"),
    *(
        "honest stream",
        "stream of a model nobody has",
        "stream that claims 80,000 x 80,000",
        "stream with two segments",
    ),
    *("stream cut in its data", "png with our segment", "bit 3 of byte 9 of the segment"),
]


def judged(folder: Path, *more: str) -> Verdicts:
    """What a process of its own says of the files, by name."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this kernel does not tell how much memory one file took")
    report = folder / "report.jsonl"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.hostile.judge", str(report), *more]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    verdicts: Verdicts = {}
    for line in report.read_text().splitlines():
        verdict = json.loads(line)
        name = verdict["name"] if verdict["name"] not in verdicts else f"{verdict['name']} restored"
        verdicts[name] = verdict
    return verdicts


def is_cheap(verdict: dict[str, Any]) -> bool:
    size = re.fullmatch(r"(\d+)x(\d+)", verdict["comes"])
    megapixels = int(size[1]) * int(size[2]) / 1e6 if size else 0.0
    most_cpu_s = MOST_CPU_S + MOST_CPU_S_PER_MEGAPIXEL * megapixels
    return bool(verdict["cpu_s"] < most_cpu_s and verdict["grown_bytes"] < MOST_MEMORY_BYTES)


@pytest.fixture(scope="module")
def files() -> dict[str, Case]:
    """All by name, but for those whose bytes name the model of a store."""
    listed = list(cases("0" * 8))
    named = {case.name: case for case in listed}
    assert len(named) == len(listed) > 700
    return named


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    return judged(tmp_path_factory.mktemp("judged"))


def test_each_file_gets_the_answer_it_should(verdicts: Verdicts, files: dict[str, Case]) -> None:
    wrong = {}
    for case in files.values():
        comes = verdicts[case.name]["comes"]
        is_right = comes in PROBLEMS or re.fullmatch(r"\d+x\d+", comes) if case.comes == EITHER else comes == case.comes
        if not is_right or comes == "internal":
            wrong[case.name] = f"{comes}, not {case.comes}"
    assert not wrong


def test_none_costs_much(verdicts: Verdicts) -> None:
    dear = {name: verdict for name, verdict in verdicts.items() if not is_cheap(verdict)}
    assert not dear


def test_the_collected_files_get_the_answers_they_had(shared: Path, tmp_path: Path, golden: Golden) -> None:
    folder = shared / "data" / "hostile"
    if not folder.is_dir():
        pytest.skip("there are no hostile files in shared/")
    verdicts = judged(tmp_path, str(folder))
    assert not {name: verdict for name, verdict in verdicts.items() if not is_cheap(verdict)}
    golden.check("hostile.tsv", "".join(f"{name}\t{it['comes']}\n" for name, it in verdicts.items()).encode())


# Over HTTP, by a worker.


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running
        assert running.deaths() == 0
        assert running.is_well()


@pytest.fixture(scope="module")
def fitting(served: Served) -> dict[str, Case]:
    """All by name, forged streams naming the model that is served."""
    model: str = httpx2.get(f"{served.url}/models", timeout=30).json()[0]["id"]
    return {case.name: case for case in cases(model)}


def answered(served: Served, case: Case) -> str:
    """What comes of it over HTTP, with a status that fits."""
    path = "/decompress" if case.restores else "/compress?effort=0"
    response = httpx2.post(f"{served.url}{path}", content=case.file, timeout=120)
    if response.status_code == 200:
        return str(response.headers["vcodec-size"])
    problem = response.json()
    assert response.status_code == problem["status"] == PROBLEMS[problem["code"]].status
    return str(problem["code"])


@pytest.mark.parametrize("name", OVER_HTTP)
def test_a_worker_takes_it_and_lives(served: Served, fitting: dict[str, Case], name: str) -> None:
    workers = served.workers()
    case = fitting[name]
    comes = answered(served, case)
    assert comes == case.comes or (case.comes == EITHER and comes != "internal")
    assert served.workers() == workers


@pytest.mark.slow
def test_a_worker_takes_every_collected_file_and_lives(served: Served, shared: Path) -> None:
    workers = served.workers()
    for file in sorted((shared / "data" / "hostile").glob("*.*")):
        for restores in (False, True):
            case = Case(name=file.name, file=file.read_bytes(), comes="", restores=restores)
            assert answered(served, case) not in ("internal", "poison_input"), file.name
    assert served.workers() == workers
