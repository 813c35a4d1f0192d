"""The stack that these tests share. Where no container engine answers they are skipped."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, running_stack


@pytest.fixture(scope="package")
def engine() -> None:
    """Skips where no container engine with Compose answers."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(command, capture_output=True, check=False, timeout=60).returncode:
            pytest.skip(f"`{' '.join(command)}` fails: no container engine with Compose answers")


@pytest.fixture(scope="package")
def stack(engine: None) -> Iterator[Stack]:
    """The whole stack with two replicas, built from this checkout."""
    with running_stack("virtual-codec-test", replicas=2) as running:
        yield running
