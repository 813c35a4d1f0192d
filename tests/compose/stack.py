"""The compose stack under a name of its own, on free ports of the loopback interface."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

import httpx2

from tests.conftest import ROOT

REPLICA_READY_S: Final = 600.0  # seconds do it, but not on a machine that is busy with other things


@final
class Stack:
    """A running stack, whose `url` is that of the load balancer."""

    def __init__(self, project: str) -> None:
        port, prometheus_port = _free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self.prometheus_url = f"http://127.0.0.1:{prometheus_port}"
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": project,
            # Where that cannot be reached pip goes on with what it has.
            "TORCH_INDEX": os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu"),
            "PUBLISH": f"127.0.0.1:{port}",
            "PUBLISH_PROMETHEUS": f"127.0.0.1:{prometheus_port}",
            "VCODEC_DRAIN_DELAY_S": "2",
            "VCODEC_TIMEOUT_S": "600",  # what is looked for is lost requests, not slow machines
            "VCODEC_MAX_BODY_BYTES": str(8 * 2**20),
        }

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` and give what it prints. Raises `AssertionError` with what went wrong."""
        return self.run("docker", "compose", *arguments)

    def run(self, *command: str) -> str:
        """Run a command in the stack's environment, in the checkout."""
        ended = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False, timeout=1500
        )
        assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
        return ended.stdout

    def up(self, replicas: int) -> None:
        """Bring it up, or to so many replicas, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--wait", "--scale", f"service={replicas}", "--no-recreate")

    def containers(self, service: str = "service") -> list[str]:
        """The ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(self.run("docker", "inspect", container))
        return found[0]

    def kill(self, container: str) -> None:
        """End a container's first process as a crash would: the engine's own kill counts as a stop by hand."""
        os.kill(self.inspect(container)["State"]["Pid"], signal.SIGKILL)

    def wait_restarted(self, container: str) -> None:
        """Wait until the engine has started a container again by itself."""
        wait_for(lambda: bool(self.inspect(container)["RestartCount"]))

    def wait_healthy(self, replicas: int) -> None:
        """Wait until so many replicas run and are ready."""

        def is_healthy() -> bool:
            ids = self.containers()
            return len(ids) == replicas and all(
                self.inspect(each)["State"].get("Health", {}).get("Status") == "healthy" for each in ids
            )

        wait_for(is_healthy, REPLICA_READY_S)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of a PromQL expression now."""
        answer = httpx2.get(f"{self.prometheus_url}/api/v1/query", params={"query": expression}, timeout=30)
        body = answer.json()
        assert body["status"] == "success", f"{expression}: {body.get('error')}"
        result = body["data"]["result"]
        return result if isinstance(result, list) else []

    def value(self, expression: str) -> float:
        """The value of an expression that gives one sample; NaN where it gives none."""
        samples = self.query(expression)
        return float(samples[0]["value"][1]) if samples else float("nan")


@contextmanager
def running_stack(project: str, replicas: int) -> Iterator[Stack]:
    """A stack of the image that the checkout makes; everything of it is removed in the end."""
    stack = Stack(project)
    stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
    try:
        stack.compose("build", "service")
        stack.up(replicas)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def wait_for(is_so: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not so after {seconds:.0f} seconds"
        time.sleep(0.5)


def _free_ports(count: int) -> list[int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in with_ports]
    for listener in with_ports:
        listener.close()
    return ports
