"""The built wheel, installed without its dependencies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Says where the package lies, and which `service` is imported.
SCRIPT = """
import service, virtual_codec
print(virtual_codec.__file__)
print(service.__file__)
print(virtual_codec.__version__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that a freshly built wheel is installed into."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # The build backend is that of the dev extra: nothing is fetched.
    build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def test_the_wheel_imports_beside_a_file_service_py(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text("NAME = 'a file of the user'\n")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-S", "-c", SCRIPT]  # -S: without site-packages, where this checkout is installed
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    package, service, version = done.stdout.splitlines()
    assert Path(package) == installed / "virtual_codec" / "__init__.py"
    assert Path(service).resolve() == (tmp_path / "service.py").resolve()
    assert version


def test_the_wheel_brings_its_models_and_no_other_package(installed: Path) -> None:
    assert (installed / "virtual_codec" / "_model_store" / "CURRENT").is_file()
    assert (installed / "virtual_codec" / "py.typed").is_file()
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {
        "virtual_codec",
        "bin",
    }
