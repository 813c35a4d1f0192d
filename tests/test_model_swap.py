"""The whole service while its model changes: real sockets, real workers, small networks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.models import make_store
from tests.pictures import opened, saved, scene
from tests.server_process import ServerProcess, started, wait_for, wait_until_ready
from virtual_codec.cli import main
from virtual_codec.codec import VirtualCodec
from virtual_codec.jobs import CompressOptions, RestoreOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

PICTURE = saved(scene(48, 64))
FOREIGN = saved(scene(40, 56), "JPEG", quality=60)


class Server(ServerProcess):
    """A running `vcodec serve` that takes orders."""

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.records if line.get("event") == name]

    def activate(self, model: str) -> httpx2.Response:
        return httpx2.post(f"{self.admin_url}/admin/models/{model}/activate", timeout=60)


@contextlib.contextmanager
def serving(store: Path) -> Iterator[Server]:
    environment = os.environ | {
        "VCODEC_MODEL_STORE": str(store),
        "VCODEC_PORT": "0",
        "VCODEC_ADMIN_PORT": "0",
        "VCODEC_DEVICES": "cpu",
        "VCODEC_THREADS": "2",
        "VCODEC_STANDBY": "off",
        "VCODEC_LOG_FORMAT": "json",
        "VCODEC_DRAIN_DELAY_S": "0",
    }
    command = [sys.executable, "-m", "virtual_codec", "serve"]
    with started(Server, command, environment=environment) as server:
        wait_for(lambda: server.admin_url)
        wait_until_ready(server)
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves `first`; `second` is there too, and a few that are no good."""
    root = tmp_path_factory.mktemp("store")
    for seed, name in enumerate(("first", "second", "third", "corrupt", "gone", "promising")):
        make_store(root, name=name, seed=seed)
    for name, damage in (("corrupt", corrupt), ("gone", remove), ("promising", promise)):
        damage(root / name)
    (root / "CURRENT").write_text("first\n")
    with serving(root) as running:
        yield running


def corrupt(folder: Path) -> None:
    file = folder / "postprocess-2.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"oops")


def remove(folder: Path) -> None:
    (folder / "postprocess-1.safetensors").unlink()


def promise(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"]["golden"] = [60.0, 60.0, 60.0]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def store_of(server: Server) -> ModelStore:
    arguments = Path(f"/proc/{server.process.pid}/environ").read_text().split("\0")
    root = next(it.partition("=")[2] for it in arguments if it.startswith("VCODEC_MODEL_STORE="))
    return ModelStore(Path(root), tolerant=True)


async def test_swaps_under_load_lose_nothing_and_mix_nothing(server: Server) -> None:
    store = store_of(server)
    codec = VirtualCodec(store, DirectRunner())
    models = [store.get(name) for name in ("first", "second")]
    streams = {it.id: codec.compress(PICTURE, CompressOptions(model=it.id)).stream for it in models}
    restored = {it.id: codec.restore(FOREIGN, RestoreOptions(model=it.id)).image for it in models}
    seen: list[str] = []
    swapping = True

    async def load(client: httpx2.AsyncClient) -> None:
        while swapping:
            made = await client.post("/compress", content=PICTURE)
            assert made.status_code == 200, made.text
            assert made.content == streams[made.headers["vcodec-model"]]
            mended = await client.post("/decompress", content=FOREIGN)
            assert mended.status_code == 200, mended.text
            assert mended.content == restored[mended.headers["vcodec-model"]]
            back = await client.post("/decompress", content=made.content)
            assert back.headers["vcodec-model"] == made.headers["vcodec-model"]
            seen.append(made.headers["vcodec-model"])

    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        callers = [asyncio.create_task(load(client)) for _ in range(3)]
        for name in ("second", "corrupt", "first", "gone", "second", "promising", "first"):
            response = await asyncio.to_thread(server.activate, name)
            assert response.status_code == (200 if name in ("first", "second") else 500), response.text
            done = len(seen)
            while len(seen) < done + 2 and not any(it.done() for it in callers):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        swapping = False
        await asyncio.gather(*callers)
    assert set(seen) == {it.id for it in models}
    assert not server.events("worker_died")
    metrics = httpx2.get(f"{server.url}/metrics").text
    assert 'vcodec_model_swaps_total{result="success"} 4.0' in metrics
    assert 'vcodec_model_swaps_total{result="failure"} 3.0' in metrics
    assert "vcodec_retries_total 0.0" in metrics


@pytest.mark.parametrize(
    ("name", "status", "code", "says"),
    [
        ("corrupt", 500, "bad_model", "postprocess-2.safetensors is not what its manifest says"),
        ("gone", 500, "bad_model", "lacks postprocess-1.safetensors"),
        ("promising", 500, "bad_model", "golden picture is restored with"),
        ("fourth", 404, "model_not_found", "no model 'fourth'; have corrupt"),
    ],
)
def test_what_cannot_be_served_is_said_to_the_operator_and_to_the_log(
    server: Server, name: str, status: int, code: str, says: str
) -> None:
    server.activate("first")
    refused = len(server.events("model_refused"))
    response = server.activate(name)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert says in response.json()["detail"]
    wait_for(
        lambda: any(
            says in str(it["reason"]) and it["goes_on_with"] == "first"
            for it in server.events("model_refused")[refused:]
        )
    )
    assert httpx2.get(f"{server.url}/readyz").json()["model"]["name"] == "first"


def test_streams_of_an_older_model_decode_and_the_state_is_shown(server: Server) -> None:
    server.activate("first")
    made = httpx2.post(f"{server.url}/compress", content=PICTURE, timeout=60)
    before = httpx2.post(f"{server.url}/decompress", content=made.content, timeout=60)
    answer = server.activate("second").json()
    assert (answer["name"], answer["default"], answer["state"]) == ("second", True, "active")
    after = httpx2.post(f"{server.url}/decompress", content=made.content, timeout=60)
    assert after.headers["vcodec-model"] == made.headers["vcodec-model"] != answer["id"]
    assert np.array_equal(opened(after.content), opened(before.content))
    states = {it["name"]: it["state"] for it in httpx2.get(f"{server.url}/models").json()}
    assert (states["first"], states["second"]) == ("stored", "active")
    ready = httpx2.get(f"{server.url}/readyz").json()
    assert ready["models"] == [{"id": answer["id"], "name": "second", "state": "active", "jobs": 0}]
    assert "gone lacks postprocess-1" in ready["notes"]["damaged: gone"]
    line = f'vcodec_model_info{{created="2026-01-01",model="{answer["id"]}",name="second",state="active"}} 1.0'
    assert line in httpx2.get(f"{server.url}/metrics").text


def test_the_orders_have_a_port_of_their_own_that_takes_none_from_pages(server: Server) -> None:
    for url in (f"{server.url}/admin/models/first/activate", f"{server.admin_url}/compress"):
        assert httpx2.post(url, content=PICTURE).json()["code"] == "not_found"
    url = f"{server.admin_url}/admin/models/reload"
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        response = httpx2.post(url, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "bad_input"), headers
    assert httpx2.get(url).status_code == 405
    assert {it["name"] for it in httpx2.get(f"{server.admin_url}/admin/models").json()} >= {"first", "second"}


def test_the_command_line_gives_orders_too(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--activate", "second", "--url", server.admin_url]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "second"
    assert main(["models", "--reload", "--url", server.admin_url]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "first"
    assert main(["models", "--activate", "corrupt", "--url", server.admin_url]) == 1
    assert "not what its manifest says" in capsys.readouterr().err
    assert main(["models", "--reload", "--url", "http://127.0.0.1:9"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_sighup_takes_what_current_names(server: Server) -> None:
    root = store_of(server).root
    try:
        (root / "CURRENT").write_text("third\n")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: httpx2.get(f"{server.url}/readyz").json()["model"]["name"] == "third")
        (root / "CURRENT").write_text("corrupt\n")
        refused = len(server.events("model_refused"))
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(server.events("model_refused")) > refused)
        made = httpx2.post(f"{server.url}/compress", content=PICTURE, timeout=60)
        assert made.headers["vcodec-model"] == ModelStore(root, default="third", tolerant=True).default.id
    finally:
        (root / "CURRENT").write_text("first\n")


def test_a_worker_that_dies_comes_back_with_what_was_activated(server: Server) -> None:
    answer = server.activate("second").json()
    store = store_of(server)
    shutil.copytree(store.root / "first", store.root / "half", ignore=shutil.ignore_patterns("*.json"))
    pid = server.events("worker_ready")[-1]["pid"]
    assert isinstance(pid, int)
    ready = len(server.events("worker_ready"))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(server.events("worker_ready")) > ready)
    made = httpx2.post(f"{server.url}/compress", content=PICTURE, timeout=60)
    assert made.headers["vcodec-model"] == answer["id"]
    shutil.rmtree(store.root / "half")


def test_a_closed_terminal_ends_the_service(tmp_path: Path) -> None:
    make_store(tmp_path)
    environment = os.environ | {"VCODEC_MODEL_STORE": str(tmp_path), "VCODEC_PORT": "0", "VCODEC_DRAIN_DELAY_S": "0"}
    serve = [sys.executable, "-m", "virtual_codec", "serve"]
    in_terminal = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *serve]
    with subprocess.Popen(in_terminal, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as terminal:
        assert terminal.stdout is not None
        said = next(line for line in terminal.stdout if b"serving on" in line)
        url = said.decode().rpartition(" ")[2].strip()
        server = int(Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text())
        try:
            assert httpx2.get(f"{url}/healthz").status_code == 200
            os.kill(server, signal.SIGHUP)
            wait_for(lambda: 'result="success"} 1.0' in httpx2.get(f"{url}/metrics").text)
            terminal.kill()
            wait_for(lambda: not Path(f"/proc/{server}").exists())
        finally:
            terminal.kill()
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
