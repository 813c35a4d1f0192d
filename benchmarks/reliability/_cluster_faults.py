"""Faults of a cluster's nodes, replicas and proxies under load."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.reliability._nodes import HEAD, Nodes, wait_for

CPUS: Final = 2  # of each node except the head, so that one node has room for the replicas of two
REPLICAS: Final = 2
_CUT_S: Final = 150.0  # Ray gives a silent node up within about 65 s
_START_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """Service on the cluster: its URLs, and a function that changes its settings."""

    nodes: Nodes
    urls: Sequence[str]
    deploy: Callable[[Mapping[str, object]], None]

    def workers(self) -> list[str]:
        """Names of the ready workers in the service's metrics; empty if it does not answer."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            answer = get_text(f"{self.urls[0]}/readyz")
            return [str(worker["name"]) for worker in json.loads(answer)["workers"] if worker["ready"]]
        return []

    def processes(self, name: str, title: str) -> list[int]:
        """Ids of a node's processes whose title contains a text."""
        return [pid for pid, line in self.nodes.pids(name).items() if title in line and line.startswith("ray::")]

    def wait_until_whole(self, without: frozenset[str] = frozenset()) -> None:
        """Wait until every replica has a ready worker, and none of the named workers is ready."""
        wait_for(lambda: len(found := self.workers()) >= REPLICAS and not without & set(found), _START_S)


Fault = Callable[[Served], object]


def kill_replica(served: Served) -> object:
    """Kill the process of a replica by SIGKILL."""
    before = set(served.workers())
    name = _kill_one(served, ":codec")
    wait_for(lambda: before - set(served.workers()))
    return f"on node {name}"


def kill_api(served: Served) -> object:
    """Kill one of the two API replicas by SIGKILL."""
    return f"on node {_kill_one(served, ':api')}"


def kill_proxy(served: Served) -> object:
    """Kill Ray's HTTP proxy on the head node by SIGKILL."""
    (pid,) = served.processes(HEAD, "ProxyActor")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not served.workers())
    return "the others go on"


def kill_node(served: Served) -> object:
    """Kill all processes of a node with a replica by SIGKILL, and start the node again later."""
    name, before = _node_with(served, ":codec"), set(served.workers())
    count = served.nodes.kill(name)
    wait_for(lambda: before - set(served.workers()))
    served.wait_until_whole()
    served.nodes.start(name, CPUS)
    return f"{count} processes"


def cut_node(served: Served) -> object:
    """Disconnect a node with a replica from the network silently, and connect it again later."""
    name = _node_with(served, ":codec")
    before = frozenset(served.workers())
    served.nodes.cut(name)
    started = time.monotonic()
    wait_for(lambda: len(set(served.workers()) & before) < REPLICAS, _CUT_S)
    noticed_s = time.monotonic() - started
    served.wait_until_whole()
    served.nodes.kill(name)
    served.nodes.mend(name)
    served.nodes.start(name, CPUS)
    return f"noticed after {noticed_s:.0f} s"


def update(served: Served) -> object:
    """Change the settings by a rolling update, which replaces all replicas of API and codec."""
    before = frozenset(served.workers())
    served.deploy({"timeout_s": 61})
    served.wait_until_whole(before)
    return "all replaced"


POOL: Final = {"kill_replica": kill_replica, "kill_node": kill_node, "cut_node": cut_node}
APPLICATION: Final = {
    "kill_proxy": kill_proxy,
    "update": update,
    "kill_replica": kill_replica,
    "kill_api": kill_api,
    "kill_node": kill_node,
}


def get_text(url: str) -> str:
    """Body of the answer to a GET without a proxy. Raises `OSError`."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def _kill_one(served: Served, title: str) -> str:
    name = _node_with(served, title)
    os.kill(served.processes(name, title)[0], signal.SIGKILL)
    return name


def _node_with(served: Served, title: str) -> str:
    """Node, except the head, with a process of a title."""
    return next(name for name in reversed(served.nodes.names[1:]) if served.processes(name, title))
