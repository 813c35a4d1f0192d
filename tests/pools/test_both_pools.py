"""One end-to-end suite over two pools: worker processes and Ray replicas answer alike, byte for byte."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.models import make_store
from tests.pictures import saved, scene
from tests.pools.commanded import CRASH, HANG, SLEEP, SURPRISE
from tests.pools.servers import Server, serving
from tests.server_process import wait_for
from virtual_codec.store import ModelStore

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

PICTURE: Final = saved(scene(96, 123))
OTHER: Final = saved(scene(64, 80, seed=1))
GREY: Final = saved(scene(72, 90)[..., 0])
JPEG: Final = saved(scene(80, 112), "JPEG", quality=60)
PNG, ANY = {"content-type": "image/png"}, {"content-type": "image/jpeg"}
OWN_HEADERS: Final = {"date", "x-request-id", "server-timing", "retry-after"}  # of one answer, not of its content
Answer = tuple[int, dict[str, str], object]


def told(width: int) -> bytes:
    """A picture that tells the workers' codec what to do."""
    return saved(scene(8, width))


CASES: Final[dict[str, tuple[int, str, str, dict[str, Any]]]] = {
    "quality": (200, "POST", "/compress?quality=40", {"content": PICTURE, "headers": PNG}),
    "multipart": (
        200,
        "POST",
        "/compress",
        {"files": {"file": ("a.png", OTHER, "image/png")}, "data": {"quality": "70", "effort": "1"}},
    ),
    "grey": (200, "POST", "/compress?effort=0", {"content": GREY, "headers": PNG}),
    "scale": (200, "POST", "/compress?scale=2&measure=true", {"content": PICTURE, "headers": PNG}),
    "size": (200, "POST", "/compress?max_bytes=1500&effort=1", {"content": PICTURE, "headers": PNG}),
    "psnr": (200, "POST", "/compress?min_psnr=26&effort=1", {"content": OTHER, "headers": PNG}),
    "foreign": (200, "POST", "/decompress", {"content": JPEG, "headers": ANY}),
    "webp": (200, "POST", "/decompress", {"content": JPEG, "headers": {**ANY, "accept": "image/webp"}}),
    "bmp": (200, "POST", "/decompress", {"content": JPEG, "headers": {**ANY, "accept": "image/bmp"}}),
    "ordinary": (200, "POST", "/playground/ordinary?format=webp&quality=50", {"content": PICTURE, "headers": PNG}),
    "unreachable": (422, "POST", "/compress?max_bytes=90", {"content": PICTURE, "headers": PNG}),
    "unknown option": (422, "POST", "/compress?speed=1", {"content": PICTURE, "headers": PNG}),
    "bad option": (422, "POST", "/compress?quality=0", {"content": PICTURE, "headers": PNG}),
    "no model": (404, "POST", "/compress?model=none", {"content": PICTURE, "headers": PNG}),
    "empty": (400, "POST", "/compress", {"content": b"", "headers": PNG}),
    "no image": (415, "POST", "/compress", {"content": b"hello", "headers": PNG}),
    "truncated": (422, "POST", "/compress", {"content": PICTURE[:900], "headers": PNG}),
    "half a jpeg": (422, "POST", "/decompress", {"content": JPEG[: len(JPEG) // 2], "headers": ANY}),
    "pixels": (413, "POST", "/compress", {"content": saved(scene(1500, 1500) * 0), "headers": PNG}),
    "body": (413, "POST", "/compress", {"content": bytes(1_000_001), "headers": PNG}),
    "accept": (406, "POST", "/decompress", {"content": JPEG, "headers": {**ANY, "accept": "image/avif"}}),
    "type": (
        415,
        "POST",
        "/compress",
        {"content": PICTURE, "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ),
    "method": (405, "GET", "/compress", {}),
    "nothing there": (404, "GET", "/nothing", {}),
    "models": (200, "GET", "/models", {}),
    "surprise": (500, "POST", "/compress", {"content": told(SURPRISE), "headers": PNG}),
    "crash": (422, "POST", "/compress", {"content": told(CRASH), "headers": PNG}),
    "crash again": (422, "POST", "/compress", {"content": told(CRASH), "headers": PNG}),
    "hang": (504, "POST", "/compress", {"content": told(HANG), "headers": {**PNG, "request-timeout-ms": "1500"}}),
    "after it": (200, "POST", "/compress?quality=41", {"content": PICTURE, "headers": PNG}),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    make_store(root)
    make_store(root, name="other", seed=1)
    (root / "CURRENT").write_text("tiny")
    return root


@pytest.fixture(scope="module")
def servers(store: Path) -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        opened = {name: stack.enter_context(serving(name, store)) for name in ("local", "ray")}
        for server in opened.values():
            wait_for(server.has_ready, 180)
        yield opened


def asked(server: Server, method: str, path: str, more: dict[str, Any]) -> Answer:
    """Status, headers and content of an answer, without what is only of that one answer."""
    answer = httpx2.request(method, server.url + path, timeout=120, **more)
    headers = {name: value for name, value in answer.headers.items() if name not in OWN_HEADERS}
    if answer.headers["content-type"] != "application/problem+json":
        return answer.status_code, headers, answer.content
    content = answer.json()
    content.pop("request_id")
    headers.pop("content-length")  # the time of a 504 has more digits or fewer
    if answer.status_code == 504:
        content.pop("actual")  # a time
    return answer.status_code, headers, content


@pytest.mark.parametrize("name", list(CASES))
def test_answers_are_alike(servers: dict[str, Server], name: str) -> None:
    status, method, path, more = CASES[name]
    with ThreadPoolExecutor(2) as threads:
        local, ray = threads.map(lambda server: asked(server, method, path, more), servers.values())
    assert local[0] == status, local
    assert ray == local


def test_an_overloaded_pool_refuses_alike(servers: dict[str, Server]) -> None:
    def burst(server: Server) -> set[tuple[int, str]]:
        def one(number: int) -> tuple[int, str]:
            content = saved(scene(8, SLEEP, seed=number + 10))
            answer = httpx2.post(f"{server.url}/compress?effort=3", content=content, headers=PNG, timeout=120)
            if answer.status_code == 200:
                return 200, ""
            assert int(answer.headers["retry-after"]) >= 1
            return answer.status_code, answer.json()["code"]

        assert [one(number)[0] for number in (-1, -2)] == [200, 200]  # it learns what they cost
        with ThreadPoolExecutor(24) as threads:
            return set(threads.map(one, range(24)))

    for server in servers.values():
        assert burst(server) == {(200, ""), (503, "overloaded")}


def test_metrics_have_the_same_names_and_labels(servers: dict[str, Server]) -> None:
    def families(server: Server) -> set[str]:
        lines = httpx2.get(f"{server.url}/metrics", timeout=30).text.splitlines()
        return {line.partition("{")[0].partition(" ")[0] for line in lines if line.startswith("vcodec_")}

    local, ray = (families(server) for server in servers.values())
    assert ray == local
    assert "vcodec_batch_items_bucket" in ray
    for server in servers.values():
        text = httpx2.get(f"{server.url}/metrics", timeout=30).text
        assert 'vcodec_worker_restarts_total{reason="hang"} 1.0' in text, re.findall("vcodec_worker_restarts.*", text)
        assert "vcodec_quarantined_inputs_total 1.0" in text


def test_a_model_is_switched_alike_and_no_request_is_lost(servers: dict[str, Server], store: Path) -> None:
    models = ModelStore(store)
    tiny, other = models.get("tiny").id, models.get("other").id
    for server in servers.values():
        stopped = threading.Event()
        seen: list[tuple[int, str | None]] = []

        def load(server: Server = server, stopped: threading.Event = stopped, seen: Any = seen) -> None:
            while not stopped.is_set():
                answer = httpx2.post(f"{server.url}/compress?effort=0", content=OTHER, headers=PNG, timeout=60)
                seen.append((answer.status_code, answer.headers.get("vcodec-model")))

        with ThreadPoolExecutor(2) as threads:
            running = [threads.submit(load) for _ in range(2)]
            wait_for(lambda seen=seen: len(seen) > 4)
            answer = httpx2.post(f"{server.admin_url}/admin/models/other/activate", timeout=120)
            assert answer.status_code == 200, answer.text
            before = len(seen)
            wait_for(lambda seen=seen, before=before: len(seen) > before + 6)
            stopped.set()
            for it in running:
                it.result()
        assert {status for status, _ in seen} == {200}
        assert seen[0][1] == tiny
        assert seen[-1][1] == other
        assert httpx2.post(f"{server.admin_url}/admin/models/tiny/activate", timeout=120).status_code == 200


def test_no_port_is_open_to_other_machines(servers: dict[str, Server]) -> None:
    mine = {f"socket:[{inode}]" for inode in _inodes(servers["ray"])}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:  # listens
                address = fields[1].rpartition(":")[0]
                assert address in ("0100007F", "0000000000000000FFFF00000100007F"), line


def _inodes(server: Server) -> Iterator[str]:
    found = 0
    for pid in (server.process.pid, *server.descendants()):
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(descriptor)
                    if target.startswith("socket:["):
                        found += 1
                        yield target[8:-1]
    assert found > 20


def test_a_killed_replica_loses_no_request(servers: dict[str, Server]) -> None:
    server = servers["ray"]
    expected = asked(server, *CASES["quality"][1:])
    stopped = threading.Event()
    answers: list[Answer] = []

    def load() -> None:
        while not stopped.is_set():
            answers.append(asked(server, *CASES["quality"][1:]))

    with ThreadPoolExecutor(6) as threads:
        running = [threads.submit(load) for _ in range(6)]
        wait_for(lambda: len(answers) > 12)
        replicas = [pid for pid, line in server.descendants().items() if line.startswith("ray::ServeReplica")]
        assert len(replicas) == 2
        os.kill(replicas[0], signal.SIGKILL)
        before, until = len(answers), time.monotonic() + 60
        wait_for(lambda: len(answers) > before + 24 or time.monotonic() > until)
        stopped.set()
        for it in running:
            it.result()
    assert len(answers) > before + 24
    assert all(answer == expected for answer in answers), [json.dumps(str(it)) for it in answers if it != expected][:3]


def test_a_stopped_server_leaves_no_process(store: Path, servers: dict[str, Server]) -> None:
    server = servers["ray"]  # the last test: the server ends here
    below = server.descendants()
    server.process.terminate()
    assert server.process.wait(60) == 0
    wait_for(lambda: not [pid for pid, line in below.items() if _runs(pid, line)], 60)


def _runs(pid: int, line: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace") == line
    return False
