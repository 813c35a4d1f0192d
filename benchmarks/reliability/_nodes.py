"""Nodes of a Ray cluster as network namespaces of this machine, which can be killed or disconnected one by one."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

HEAD: Final = "head"
_ADDRESSES: Final = MappingProxyType({HEAD: 11, "one": 12, "two": 13})  # last number
_NETWORK: Final = "198.18.7"  # reserved for benchmarks (RFC 2544)
_PORT: Final = 6379
_MAX_STARTS: Final = 5
_STORE_BYTES: Final = 128 * 2**20


@final
class Nodes:
    """Namespaces behind one bridge, with a cluster that asks for a token. Linux and root only."""

    def __init__(self, folder: Path) -> None:
        self.token: Final = secrets.token_hex(32)
        self._folder = folder
        self._prefix = f"vc{secrets.token_hex(2)}"
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> Sequence[str]:
        """Names of all nodes, the head's first."""
        return list(_ADDRESSES)

    @property
    def address(self) -> str:
        """Address of the cluster."""
        return f"{self.ip(HEAD)}:{_PORT}"

    def ip(self, name: str) -> str:
        """IP address of a node."""
        return f"{_NETWORK}.{_ADDRESSES[name]}"

    def start(self, name: str, cpus: int) -> None:
        """Start a node with a number of Ray CPUs, and wait until it is up. Raises `TimeoutError`."""
        is_head = name == HEAD
        where = ["--head", f"--port={_PORT}", "--include-dashboard=false"] if is_head else [f"--address={self.address}"]
        folder, log = self._folder / name, self._folder / f"{name}.log"
        folder.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", *where, "--block", "--disable-usage-stats"),
            *(f"--node-ip-address={self.ip(name)}", f"--num-cpus={cpus}"),
            *(f"--object-store-memory={_STORE_BYTES}", f"--temp-dir={folder}"),
        ]

        def is_up() -> bool:
            return "Ray runtime started" in log.read_text(errors="replace")

        for _ in range(_MAX_STARTS):  # on a busy machine Ray does not wait for as long as its own start takes
            with log.open("wb") as output:
                self._started[name] = process = self.popen(name, command, stdout=output, stderr=output)
            wait_for(lambda process=process: is_up() or process.poll() is not None)
            if is_up():
                return
            self.kill(name)
        raise TimeoutError(f"node {name} does not start: {log.read_text(errors='replace')[-2000:]}")

    def popen(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None, **how: object
    ) -> subprocess.Popen[bytes]:
        """Start a process on a node, with the cluster's token."""
        known = {variable: value for variable, value in os.environ.items() if not variable.lower().endswith("_proxy")}
        known |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "PYTHONPATH": os.pathsep.join(sys.path)}
        inside = ["ip", "netns", "exec", self._space(name), *command]
        return subprocess.Popen(inside, env=known | dict(environment or {}), **how)  # type: ignore[call-overload, no-any-return]

    def pids(self, name: str) -> dict[int, str]:
        """Title of each process on a node, by its id."""
        listed = _ip("netns", "pids", self._space(name)).split()
        found = {}
        for pid in map(int, listed):
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return found

    def kill(self, name: str) -> int:
        """End a node: SIGKILL to all its processes. Returns how many there were."""
        killed: set[int] = set()
        while pids := self.pids(name).keys() - killed:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed |= pids
        self._started.pop(name).wait()
        return len(killed)

    def cut(self, name: str) -> None:
        """Disconnect a node from the network. Packets to it are lost."""
        _ip("link", "set", self._link(name), "down")

    def mend(self, name: str) -> None:
        """Undo `cut`."""
        _ip("link", "set", self._link(name), "up")

    def lay(self) -> None:
        """Make the namespaces and the network between them."""
        _ip("link", "add", self._prefix, "type", "bridge")
        _ip("addr", "add", f"{_NETWORK}.1/24", "dev", self._prefix)
        _ip("link", "set", self._prefix, "up")
        for name in _ADDRESSES:
            space, link = self._space(name), self._link(name)
            _ip("netns", "add", space)
            _ip("link", "add", link, "master", self._prefix, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", link, "up")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "addr", "add", f"{self.ip(name)}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """End all nodes and remove the network."""
        for name in _ADDRESSES:
            with contextlib.suppress(OSError, KeyError):
                self.kill(name)
            for command in (("link", "del", self._link(name)), ("netns", "del", self._space(name))):
                with contextlib.suppress(OSError):
                    _ip(*command)
        with contextlib.suppress(OSError):
            _ip("link", "del", self._prefix)

    def _space(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _link(self, name: str) -> str:
        return f"{self._prefix}{name}"


@contextlib.contextmanager
def nodes(folder: Path) -> Iterator[Nodes]:
    """Create the namespaces, without processes. Raises `OSError` if that is not possible."""
    made = Nodes(folder)
    try:
        made.lay()
        yield made
    finally:
        made.remove()


def wait_for(condition: object, seconds: float = 180.0) -> None:
    """Wait until a condition holds. Raises `TimeoutError`."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s: {condition!r}")
        time.sleep(0.2)


def _ip(*arguments: str) -> str:
    """Output of the command `ip`. Raises `OSError`."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
