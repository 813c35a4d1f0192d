"""Prometheus understands what the service says and what it is told to do with it. Its own tools are asked."""

from __future__ import annotations

import subprocess

import httpx2
import pytest

from tests.compose.dashboard import expressions, panel_expressions
from tests.compose.stack import Stack, wait_for
from tests.compose.traffic import traffic
from tests.conftest import ROOT

pytestmark = pytest.mark.docker


def test_every_panel_of_the_dashboard_shows_something_after_traffic(stack: Stack) -> None:
    with traffic(stack.url):
        wait_for(lambda: stack.value("sum(rate(vcodec_images_total[1m]))") > 0)
        wait_for(lambda: all(stack.query(expression) for _, expression in panel_expressions()))
    for expression in expressions():
        stack.query(expression)


def test_every_replica_is_found_and_every_rule_is_healthy(stack: Stack) -> None:
    targets = httpx2.get(f"{stack.prometheus_url}/api/v1/targets?state=active").json()["data"]["activeTargets"]
    found = [target["scrapeUrl"] for target in targets if target["labels"]["job"] == "vcodec"]
    assert len(found) == len(stack.containers())
    assert all(target["health"] == "up" for target in targets)
    groups = httpx2.get(f"{stack.prometheus_url}/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert not [rule["name"] for rule in rules if rule["health"] != "ok"]


def test_the_alerts_fire_when_they_should_and_only_then(stack: Stack) -> None:
    seen = _promtool("test", "rules", "/etc/prometheus/rules_test.yml")
    assert seen.returncode == 0, seen.stdout + seen.stderr


def test_the_configuration_is_one_that_prometheus_takes(stack: Stack) -> None:
    seen = _promtool("check", "config", "/etc/prometheus/prometheus.yml")
    assert seen.returncode == 0, seen.stdout + seen.stderr


def test_metric_names_follow_the_rules_of_prometheus(stack: Stack) -> None:
    read = "import urllib.request as it; print(it.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
    text = stack.run("docker", "exec", stack.containers()[0], "python", "-c", read)
    assert "vcodec_images_total{" in text
    seen = _promtool("check", "metrics", text=text)
    assert (seen.returncode, seen.stderr) == (0, "")


def _promtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    mount = f"{ROOT / 'docker' / 'prometheus'}:/etc/prometheus:ro"
    image = next(line.split()[-1] for line in (ROOT / "docker-compose.yml").read_text().splitlines() if "prom/" in line)
    command = ["docker", "run", "--rm", "--interactive", "--volume", mount, "--entrypoint", "promtool", image]
    return subprocess.run([*command, *arguments], input=text, capture_output=True, text=True, check=False, timeout=120)
