"""What the import contracts in pyproject.toml cannot see: what is loaded when a program really runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = frozenset({"torch", "numba", "scipy", "virtual_codec.codec", "virtual_codec.networks", "virtual_codec.runner"})


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running `code`."""
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    fresh = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert fresh.returncode == 0, fresh.stderr
    return set(fresh.stdout.split())


def test_the_package_itself_loads_nothing() -> None:
    assert not {name for name in loaded_by("import virtual_codec") if name.startswith("virtual_codec.")}


def test_packages_of_the_api_process_load_nothing_heavy() -> None:
    rooms = ("errors", "jobs", "settings", "store", "bitstream", "images", "serving")
    loaded = loaded_by("import " + ", ".join(f"virtual_codec.{room}" for room in rooms))
    assert not loaded & {*HEAVY, "fastapi"}


def test_the_api_process_never_loads_torch() -> None:
    lines = (
        "from virtual_codec.api import create_app",
        "from virtual_codec.settings import Settings",
        "create_app(Settings.load())",
    )
    loaded = loaded_by("\n".join(lines))
    assert "fastapi" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("verb", ["serve", "compress", "decompress", "bulk", "train", "evaluate", "models", "bench"])
def test_help_of_every_verb_loads_nothing_heavy(verb: str) -> None:
    loaded = loaded_by(f"from virtual_codec.cli import main; main(['{verb}', '--help'])")
    assert not loaded & {*HEAVY, "numpy", "PIL", "tqdm", "fastapi", "virtual_codec.training.loop"}
