from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.load_test.echo_server import EchoServer, running_server


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with running_server() as server:
        yield server
