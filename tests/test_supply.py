"""What the container image installs is pinned, hashed, and what the project asks for."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from collections.abc import Callable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

CPU, CUDA = "docker/requirements.lock", "docker/requirements-cuda.lock"
COMMAND = "`make lock` brings the lock files up to pyproject.toml"


def pinned(lock: str) -> dict[str, list[str]]:
    """Name -> the logical lines that pin it; one for each range of Pythons."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / lock).read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            found.setdefault(canonicalize_name(line.partition("==")[0]), []).append(line)
    return found


@pytest.mark.parametrize("lock", [CPU, CUDA])
def test_every_package_is_of_one_version_and_known_by_its_hashes(lock: str) -> None:
    packages = pinned(lock)
    assert len(packages) > 30
    for lines in packages.values():
        for line in lines:
            assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.+]+( ; [^\\]+?)?( --hash=sha256:[0-9a-f]{64})+", line), line


@pytest.mark.parametrize("lock", [CPU, CUDA])
def test_no_lock_names_a_place(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|@ ", text)


def test_dependencies_are_pinned_within_their_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.findall(r"--extra (\w+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert extras == ["bulk", "otel", "redis"]
    packages = pinned(CUDA)
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    for wanted in map(Requirement, project["dependencies"] + optional):
        lines = packages.get(canonicalize_name(wanted.name), [])
        versions = [re.split(r"==| ", line)[1] for line in lines]
        assert versions, f"{wanted.name} is not pinned; {COMMAND}"
        assert all(version in wanted.specifier for version in versions), f"{wanted} against {versions}; {COMMAND}"


def test_without_a_gpu_it_is_the_same_but_for_torch_and_what_torch_brings() -> None:
    cpu, cuda = pinned(CPU), pinned(CUDA)
    assert cpu.items() <= cuda.items(), COMMAND
    left_out = {name.partition("-")[0] for name in cuda.keys() - cpu.keys()}
    assert left_out == {"torch", "triton", "nvidia", "cuda"}


@pytest.mark.parametrize(
    ("packages", "require", "status", "said"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], False, 0, "0 known holes in 1 of 1"),
        ([{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}], False, 1, "a 1: X-1"),
        ([{"name": "a", "skip_reason": "not found"}], False, 0, "SKIPPED"),
        ([{"name": "a", "skip_reason": "not found"}], True, 2, "SKIPPED"),
        (None, False, 0, "SKIPPED, nothing was looked up: no route"),
    ],
)
def test_an_audit_that_could_look_nothing_up_says_so(
    capsys: pytest.CaptureFixture[str], packages: object, require: bool, status: int, said: str
) -> None:
    report: Callable[..., int] = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["report"]
    output = "" if packages is None else json.dumps({"dependencies": packages})
    assert report(output, "Traceback\nno route", require=require) == status
    assert said in capsys.readouterr().out
