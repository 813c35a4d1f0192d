"""`docker compose up`: two replicas behind the load balancer lose nothing while they die, restart and are replaced."""

from __future__ import annotations

import io
import json
import time
from typing import Any, Final

import httpx2
import pytest
from PIL import Image

from tests.compose.stack import Stack, wait_for
from tests.compose.traffic import pictures, traffic
from virtual_codec.api.problems import PROBLEMS

pytestmark = pytest.mark.docker

SCRAPE_INTERVAL_S: Final = 10


def test_containers_can_do_no_more_than_they_must(stack: Stack) -> None:
    for service in ("proxy", "service", "prometheus"):
        facts = stack.inspect(stack.containers(service)[0])
        host = facts["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service
        assert facts["Config"]["User"].partition(":")[0] not in ("", "0", "root"), service
        assert facts["State"]["Health"]["Status"] == "healthy", service
        for bindings in host["PortBindings"].values():
            assert all(binding["HostIp"] == "127.0.0.1" for binding in bindings), service
    mounts = {mount["Destination"]: mount["RW"] for mount in stack.inspect(stack.containers()[0])["Mounts"]}
    assert mounts["/models"] is False


def test_a_gpu_is_one_more_file_and_grafana_one_more_profile(stack: Stack) -> None:
    files = ("--file", "docker-compose.yml", "--file", "docker/gpu.yml")
    service = json.loads(stack.compose(*files, "config", "--format", "json"))["services"]["service"]
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert service["build"]["args"]["TORCH_INDEX"] == ""
    assert service["environment"]["VCODEC_DEVICES"] == "auto"
    assert service["read_only"]
    assert set(stack.compose("config", "--services").split()) == {"proxy", "service", "prometheus"}
    assert "grafana" in stack.compose("--profile", "grafana", "config", "--services").split()


def test_images_go_through_and_prometheus_counts_them_on_both_replicas(stack: Stack) -> None:
    wait_for(lambda: stack.value('count(up{job="vcodec"} == 1)') == 2)
    time.sleep(2 * SCRAPE_INTERVAL_S)  # until all that was sent before has been counted
    counted = {
        "requests": 'sum(vcodec_http_requests_total{route="/compress", status="200"})',
        "answers": 'sum(vcodec_http_requests_total{route="/decompress", status="200"})',
        "streams": "sum(vcodec_compression_ratio_count)",
    }
    before = {name: sum(float(it["value"][1]) for it in stack.query(query)) for name, query in counted.items()}
    sent = 0
    for name, image in pictures().items():
        with Image.open(io.BytesIO(image)) as original:
            size = original.size
        for _ in range(4):
            compressed = httpx2.post(f"{stack.url}/compress", content=image, timeout=900)
            assert compressed.status_code == 200, compressed.text
            with Image.open(io.BytesIO(compressed.content)) as stream:
                assert stream.format == "JPEG"
            restored = httpx2.post(f"{stack.url}/decompress", content=compressed.content, timeout=900)
            with Image.open(io.BytesIO(restored.content)) as image_back:
                assert (image_back.format, image_back.size) == ("PNG", size), name
            sent += 1

    for name, query in counted.items():
        _wait_for_value(stack, query, before[name] + sent)
    assert stack.value('count(sum by (instance) (vcodec_images_total{route="/compress"}) > 0)') == 2


def test_nothing_is_lost_while_replicas_are_killed(stack: Stack) -> None:
    victims = stack.containers()
    with traffic(stack.url) as seen:
        for victim in victims:
            seen.wait_for_more(8)
            stack.kill(victim)
            stack.wait_restarted(victim)
            stack.wait_healthy(2)
    assert not seen.failures
    assert stack.containers() == victims


def test_nothing_is_lost_while_replicas_come_and_go(stack: Stack) -> None:
    with traffic(stack.url) as seen:
        stack.up(3)
        assert len(stack.containers()) == 3
        wait_for(lambda: stack.value('count(up{job="vcodec"} == 1)') == 3)
        stack.up(2)
        assert len(stack.containers()) == 2
    assert not seen.failures
    assert seen.answered["/compress"] > 10


def test_nothing_is_lost_while_all_replicas_are_replaced(stack: Stack) -> None:
    before = set(stack.containers())
    with traffic(stack.url) as seen:
        stack.run("docker/rollout")
    assert not seen.failures
    after = set(stack.containers())
    assert len(after) == len(before)
    assert not after & before


def test_a_stopped_replica_ends_by_itself_and_in_order(stack: Stack) -> None:
    replica = stack.containers()[0]
    with traffic(stack.url) as seen:
        seen.wait_for_more(4)
        stack.run("docker", "stop", replica)
        assert stack.inspect(replica)["State"]["ExitCode"] == 0
        stack.run("docker", "start", replica)
        stack.wait_healthy(2)
    assert not seen.failures
    lines = [json.loads(line) for line in stack.run("docker", "logs", replica).splitlines()]
    assert not lines  # the log is on stderr; stdout stays empty


def test_refusals_of_the_load_balancer_are_problems_as_those_of_the_service(stack: Stack) -> None:
    limit = 8 * 2**20
    too_large = httpx2.post(f"{stack.url}/compress?quality=3", content=bytes(limit + 1), headers={"X-Request-ID": "me"})
    body = _problem(too_large, 413, "body_too_large")
    assert (body["limit"], body["actual"]) == (limit, limit + 1)
    assert (body["instance"], body["request_id"]) == ("/compress", "me")
    at_limit = httpx2.post(f"{stack.url}/compress", content=bytes(limit))
    assert at_limit.json()["code"] == "unsupported_format"
    for path in ("/admin/models", "/metrics"):
        _problem(httpx2.get(f"{stack.url}{path}"), 404, "not_found")


def test_without_a_replica_callers_are_told_to_come_again(stack: Stack) -> None:
    stack.compose("stop", "service")
    try:
        answer = httpx2.post(f"{stack.url}/compress", content=pictures()["cat.jpg"], timeout=60)
        _problem(answer, 503, "no_worker")
        assert int(answer.headers["retry-after"]) >= 1
        wait_for(lambda: stack.value('count(ALERTS{alertname="VcodecDown"})') == 1)
    finally:
        stack.compose("start", "service")
        stack.wait_healthy(2)


def _wait_for_value(stack: Stack, query: str, value: float) -> None:
    wait_for(lambda: stack.value(query) == value)


def _problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/problems/{code}")
    assert body["title"] == PROBLEMS[code].title
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body
