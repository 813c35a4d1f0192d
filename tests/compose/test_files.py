"""What docker compose, nginx, Prometheus and Grafana are given fits together, and fits the service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.api.pretend import PretendPool, write_store
from tests.compose.dashboard import DASHBOARD, expressions
from tests.conftest import ROOT
from virtual_codec.api import create_app
from virtual_codec.api.problems import PROBLEMS
from virtual_codec.settings import Settings, describe

RULES: Final = ROOT / "docker" / "prometheus" / "rules.yml"
IN_IMAGE: Final = {"VCODEC_HOST", "VCODEC_PORT", "VCODEC_MODEL_STORE"}  # paths and ports of the container's own
NOT_IN_SCHEMA: Final = {"annotations.list.titleFormat"}  # Prometheus's own, which the schema leaves to data sources


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in read("docker/prometheus/rules.yml")["groups"] for rule in group["rules"]]


def test_every_setting_can_be_set_from_outside() -> None:
    environment = read("docker-compose.yml")["services"]["service"]["environment"]
    of_image = {it.variable for it in describe() if not it.variable.startswith("VCODEC_RAY_")}  # Ray is not in it
    assert set(environment) == of_image - IN_IMAGE


@pytest.mark.parametrize(
    ("environment", "file", "source"),
    [
        ({}, "", "no-keys"),
        ({"KEYS": "./keys"}, "/keys/api-keys", str(ROOT / "keys")),
        ({"KEYS": "/etc/vcodec", "VCODEC_API_KEYS_FILE": "/keys/others"}, "/keys/others", "/etc/vcodec"),
    ],
)
@pytest.mark.docker
@pytest.mark.usefixtures("engine")
def test_keys_are_mounted_where_a_folder_is_named(environment: dict[str, str], file: str, source: str) -> None:
    command = ["docker", "compose", "config", "--format", "json"]
    own = {name: value for name, value in os.environ.items() if name not in ("KEYS", "VCODEC_API_KEYS_FILE")}
    shown = subprocess.run(command, cwd=ROOT, env=own | environment, capture_output=True, text=True, check=True)
    service = json.loads(shown.stdout)["services"]["service"]
    mount = next(it for it in service["volumes"] if it["target"] == "/keys")
    assert service["environment"]["VCODEC_API_KEYS_FILE"] == file
    assert (mount["source"], mount["read_only"]) == (source, True)


def test_a_container_has_time_to_drain_before_it_is_killed() -> None:
    service = read("docker-compose.yml")["services"]["service"]
    grace_s = int(service["stop_grace_period"].removesuffix("s"))
    shutdown_s = int(re.findall(r"\d+", service["environment"]["VCODEC_SHUTDOWN_GRACE_S"])[0])
    drain_s = next(float(it.default) for it in describe() if it.variable == "VCODEC_DRAIN_DELAY_S")
    assert grace_s >= shutdown_s + drain_s + 10


def test_the_load_balancer_takes_bodies_as_large_as_the_service_does() -> None:
    services = read("docker-compose.yml")["services"]
    name = "VCODEC_MAX_BODY_BYTES"
    assert services["proxy"]["environment"][name] == services["service"]["environment"][name]
    default = next(it.default for it in describe() if it.variable == name)
    assert services["proxy"]["environment"][name] == f"${{{name}:-{default}}}"


def test_the_load_balancer_speaks_of_problems_as_the_service_does() -> None:
    conf = (ROOT / "docker" / "nginx" / "service.conf.template").read_text(encoding="utf-8")
    codes, titles = (
        dict(re.findall(r'(\w+) "?([^";]+)"?;', conf.split(f"map $status ${name} {{")[1].split("}")[0]))
        for name in ("code", "title")
    )
    assert set(codes) == set(titles) == {"400", "404", "405", "413", "504", "default"}
    for status, code in codes.items():
        assert PROBLEMS[code].title == titles[status]
        assert PROBLEMS[code].status == (503 if status == "default" else int(status))


def test_the_memory_of_the_load_balancer_holds_all_its_buffers() -> None:
    conf = (ROOT / "docker" / "nginx" / "service.conf.template").read_text(encoding="utf-8")
    kibibytes = {
        name: int(size)
        for name, size in re.findall(r"^    (client_body_buffer_size|proxy_buffer_size) (\d+)k;", conf, re.MULTILINE)
    }
    [(count, size)] = re.findall(r"^    proxy_buffers (\d+) (\d+)k;", conf, re.MULTILINE)
    [requests] = re.findall(r"limit_conn requests (\d+);", conf)
    buffers_mib = int(requests) * (sum(kibibytes.values()) + int(count) * int(size)) / 1024
    proxy = read("docker-compose.yml")["services"]["proxy"]
    assert len(kibibytes) == 2
    assert "proxy_max_temp_file_size 0;" in conf, "answers are not written to the tmpfs"
    assert proxy["tmpfs"][0].startswith("/tmp:size=1g,")
    assert 1024 + buffers_mib + 64 <= int(proxy["mem_limit"].removesuffix("m"))


def test_metrics_and_administration_are_closed_at_the_load_balancer() -> None:
    conf = (ROOT / "docker" / "nginx" / "service.conf.template").read_text(encoding="utf-8")
    for path in ("/admin", "= /metrics"):
        assert re.search(rf"location {path} \{{\s+return 404;\s+\}}", conf)
    [job] = [it for it in read("docker/prometheus/prometheus.yml")["scrape_configs"] if it["job_name"] == "vcodec"]
    assert job["dns_sd_configs"][0]["names"] == ["service"], "the replicas, not the load balancer"


def test_only_plain_features_of_engines_are_used() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"^# *syntax|<<|--mount|--link", text, re.MULTILINE)
    stages = set(re.findall(r"^FROM .* AS (\S+)", text, re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages
    images = [
        *bases,
        *(it["image"] for it in read("docker-compose.yml")["services"].values() if "build" not in it),
    ]
    for image in images:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+[a-z-]*", image), f"{image} is not pinned"


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="there is no hadolint for this platform")
def test_the_dockerfiles_are_ones_that_hadolint_likes() -> None:
    files = ["docker/Dockerfile", "docker/ray.Dockerfile"]
    seen = subprocess.run(["hadolint", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert seen.returncode == 0, seen.stdout


def test_every_alert_has_a_chapter_in_the_runbook_and_every_chapter_an_alert() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    chapters = {heading.lower(): heading for heading in re.findall(r"^## (Vcodec\w+)$", runbook, re.MULTILINE)}
    alerts = [rule for rule in rules() if "alert" in rule]
    for rule in alerts:
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
    assert {rule["alert"] for rule in alerts} == set(chapters.values())


def test_every_alert_is_seen_to_fire_in_a_test() -> None:
    tested = {
        case["alertname"]
        for test in read("docker/prometheus/rules_test.yml")["tests"]
        for case in test.get("alert_rule_test", [])
        if case.get("exp_alerts")
    }
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}


async def test_rules_and_dashboard_ask_only_for_metrics_that_there_are(tmp_path: Path) -> None:
    app = create_app(Settings.load(model_store=write_store(tmp_path)), PretendPool())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        text = (await client.get("/metrics")).text
    families = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    there = {name for name, _ in families}
    there |= {f"{name}_{end}" for name, kind in families if kind == "histogram" for end in ("bucket", "sum", "count")}
    asked = [rule["expr"] for rule in rules()] + list(expressions())
    names = set(re.findall(r"\b((?:vcodec|process|python)_\w+)\b", " ".join(asked)))
    assert len(names) > 20
    assert not names - there


def test_the_dashboard_is_of_grafanas_schema() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert set(_lost(dashboard, understood)) <= NOT_IN_SCHEMA
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_panels_neither_overlap_nor_stand_outside() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    services = read("docker-compose.yml")["services"]
    (source,) = read("docker/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert httpx2.URL(source["url"]).host in services
    (provider,) = read("docker/grafana/provisioning/dashboards/dashboards.yml")["providers"]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    mounted = {target: source for source, target in mounts.items()}
    folder = ROOT / mounted[provider["options"]["path"]]
    assert DASHBOARD in folder.iterdir()
    home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (str(home.parent), home.name) == (provider["options"]["path"], DASHBOARD.name)
    assert services["grafana"]["profiles"] == ["grafana"]


def _lost(given: Any, understood: Any, path: str = "") -> list[str]:
    """Where something that was given is not in what was understood."""
    if isinstance(given, dict) and isinstance(understood, dict):
        return [
            loss
            for key, value in given.items()
            for loss in (_lost(value, understood[key], f"{path}.{key}") if key in understood else [f"{path}.{key}"[1:]])
        ]
    if isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        return [loss for one, other in zip(given, understood, strict=True) for loss in _lost(one, other, path)]
    return [] if given == understood else [path[1:]]
