"""Firefox without a window, driven by WebDriver BiDi over its own socket: no driver program is needed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

FIREFOX: Final = next((path for name in ("firefox-esr", "firefox") if (path := shutil.which(name))), None)
_LIMIT_S: Final = 60.0


@final
class FirefoxTab:
    """One tab, with the methods of `tests.api.browser.Tab`. `complaints` are errors that the browser logged."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.complaints: list[str] = []
        self._ask("session.new", capabilities={})
        self._ask("session.subscribe", events=["log.entryAdded"])
        self._context = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, url: str) -> None:
        """Go there, and wait until the page stands."""
        self.complaints.clear()
        self._ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = self._ask(
            "script.evaluate",
            expression=f"Promise.resolve({script}).then(value => JSON.stringify(value))",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        text = answer["result"].get("value")
        return None if text is None else json.loads(text)

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in the page is true."""
        until = time.monotonic() + _LIMIT_S
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < until, f"never true: {condition}; complaints: {self.complaints}"
            time.sleep(0.05)

    def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Give the page that many pixels."""
        del is_phone
        self._ask("browsingContext.setViewport", context=self._context, viewport={"width": width, "height": height})

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=_LIMIT_S))
            if message.get("id") == self._number:
                assert message["type"] == "success", message
                result: dict[str, Any] = message["result"]
                return result
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.complaints.append(str(message["params"]["text"]))


@contextmanager
def browsing_firefox(folder: Path) -> Iterator[FirefoxTab]:
    """A Firefox with a profile of its own in that folder."""
    assert FIREFOX is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", str(port)]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "MOZ_DISABLE_CONTENT_SANDBOX": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with _connected(port) as connection:
            yield FirefoxTab(connection)
    finally:
        process.kill()
        process.wait()


def _connected(port: int) -> ClientConnection:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    until = time.monotonic() + _LIMIT_S
    while True:
        with suppress(OSError, WebSocketException):
            return connect(f"ws://127.0.0.1:{port}/session", max_size=2**28, compression=None)
        assert time.monotonic() < until, "Firefox did not open its socket"
        time.sleep(0.2)
