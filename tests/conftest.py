"""What all tests share: golden files, and the pictures of `shared/` where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of what is tested
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite golden files instead of comparing with them")


@final
class Golden:
    """The files in tests/golden: what an output was when somebody last looked at it."""

    def __init__(self, folder: Path, *, rewrites: bool) -> None:
        self.folder = folder
        self.rewrites = rewrites

    def check(self, name: str, content: bytes) -> None:
        """Compare `content` with the golden file of that name, or make it that file under `--golden`."""
        path = self.folder / name
        if self.rewrites:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        assert path.is_file(), f"there is no {path}; `make golden` writes it"
        assert path.read_bytes() == content, f"{path} differs; if that is meant, `make golden` and look"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(ROOT / "tests" / "golden", rewrites=request.config.getoption("--golden"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of pictures that lies beside the repository on some machines; skips a test without it."""
    folder = Path(os.environ.get("VCODEC_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("there is no shared/ beside the repository, and VCODEC_SHARED names none")
    return folder
