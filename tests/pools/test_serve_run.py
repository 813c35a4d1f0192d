"""The application for `serve run`: the API in Ray, a model switched by an update, replicas added under load."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.models import make_store
from tests.pictures import saved, scene
from tests.pools.commanded import SLEEP
from tests.pools.servers import serving
from tests.pools.test_both_pools import PNG, told
from tests.server_process import wait_for
from virtual_codec.store import ModelStore

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

# As `serve run` does it, with an update at each line of stdin, on loopback in a cluster of its own.
SCRIPT = """
import json, pathlib, shutil, socket, sys, tempfile
from virtual_codec.serving import _ray_cluster
from virtual_codec.serving.ray import app
_ray_cluster._prepare_own()
import ray
from ray import serve
folder = tempfile.mkdtemp(prefix="vcodec-ray-")
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=2**28, _temp_dir=folder,
         log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": port})
try:
    for line in sys.stdin:
        given = {"model_store": sys.argv[1], "ray_replicas": 1, "devices": "cpu", "threads": 1}
        serve.run(app({**given, **json.loads(line)}))
        print(f"http://127.0.0.1:{port}", flush=True)
finally:
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store(tmp_path)
    make_store(tmp_path, name="other", seed=1)
    (tmp_path / "CURRENT").write_text("tiny")
    return tmp_path


def test_a_model_is_switched_by_user_config_without_a_loss(store: Path) -> None:
    tiny, other = (ModelStore(store).get(name).id for name in ("tiny", "other"))
    picture = saved(scene(48, 64))
    answers: list[tuple[int, str | None]] = []
    stopped = threading.Event()
    command = [sys.executable, "-c", SCRIPT, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print("{}", file=process.stdin, flush=True)
            url = process.stdout.readline().strip()
            wait_for(lambda: httpx2.get(f"{url}/readyz", timeout=60).status_code == 200)
            refused = httpx2.post(f"{url}/compress?quality=0", content=picture, headers=PNG, timeout=60)
            assert (refused.status_code, refused.json()["code"]) == (422, "bad_option")

            def load() -> None:
                while not stopped.is_set():
                    answer = httpx2.post(f"{url}/compress?effort=0", content=picture, headers=PNG, timeout=60)
                    answers.append((answer.status_code, answer.headers.get("vcodec-model")))

            callers = [threading.Thread(target=load) for _ in range(3)]
            for caller in callers:
                caller.start()
            wait_for(lambda: len(answers) > 5)
            print('{"model": "other"}', file=process.stdin, flush=True)
            assert process.stdout.readline().strip() == url
            before = len(answers)
            wait_for(lambda: len(answers) > before + 10)
            stopped.set()
            for caller in callers:
                caller.join()
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            stopped.set()
            process.kill()
    assert Counter(status for status, _ in answers).keys() == {200}
    assert answers[0][1] == tiny
    assert {model for _, model in answers[before + 3 :]} == {other}


def test_replicas_are_added_where_jobs_would_wait(store: Path) -> None:
    follows = {"least=2, cpus=1": "least=1, most=2, cpus=0.5, target_wait_s=1", "queue_limit_s=2": "queue_limit_s=60"}
    stopped = threading.Event()
    statuses: list[int] = []
    with serving("ray", store, follows) as server:
        wait_for(lambda: server.has_ready(1))
        assert not server.has_ready(2)

        def load() -> None:
            while not stopped.is_set():
                answer: Any = httpx2.post(
                    f"{server.url}/compress?effort=3", content=told(SLEEP), headers=PNG, timeout=60
                )
                statuses.append(answer.status_code)

        callers = [threading.Thread(target=load) for _ in range(8)]
        for caller in callers:
            caller.start()
        try:
            wait_for(lambda: server.has_ready(2), 120)
        finally:
            stopped.set()
            for caller in callers:
                caller.join()
    assert set(statuses) == {200}
