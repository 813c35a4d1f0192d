"""The Kubernetes manifests are valid by the schemas, and fit the image, the settings and the metrics of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml

from tests.api.pretend import PretendPool, write_store
from tests.conftest import ROOT
from virtual_codec.api import create_app
from virtual_codec.cli import make_parser
from virtual_codec.settings import Settings, describe

FOLDER: Final = ROOT / "docker" / "kubernetes"
OVERLAYS: Final = ("base", "cpu", "gpu", "bulk")
DOCKERFILE: Final = (ROOT / "docker" / "Dockerfile").read_text()

Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    """What `kubectl apply -k` would send of each overlay."""
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl to build the overlays with")
    return {name: list(_built(name)) for name in OVERLAYS}


def _built(name: str) -> Iterator[Manifest]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / name)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    yield from yaml.safe_load_all(done.stdout)


def _only(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def _container(manifests: list[Manifest], kind: str = "Deployment") -> Manifest:
    (container,) = _only(manifests, kind)["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def _settings(manifests: list[Manifest]) -> dict[str, str]:
    config = _only(manifests, "ConfigMap")
    assert _container(manifests)["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    data = config["data"]
    assert isinstance(data, dict)
    return data


def test_manifests_are_valid_by_the_schemas_of_kubernetes(rendered: dict[str, list[Manifest]]) -> None:
    schemas: Any = pytest.importorskip("kubernetes_validate")
    checked = set()
    for manifests in rendered.values():
        for manifest in manifests:
            if manifest["kind"] != "ScaledObject":  # KEDA's, which the package has no schema of
                schemas.validate(manifest, schemas.latest_version(), strict=True)
                checked.add(manifest["kind"])
    assert checked == {"ConfigMap", "Deployment", "Job", "PodDisruptionBudget", "Service"}


@pytest.mark.parametrize("overlay", ["base", "cpu", "gpu"])
def test_probes_and_ports_are_those_of_the_service(rendered: dict[str, list[Manifest]], overlay: str) -> None:
    manifests = rendered[overlay]
    container = _container(manifests)
    (port,) = container["ports"]
    assert f"VCODEC_PORT={port['containerPort']}" in DOCKERFILE
    assert f"EXPOSE {port['containerPort']}" in DOCKERFILE
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {get["port"] for get in paths.values()} == {port["name"]}
    assert {name: get["path"] for name, get in paths.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    (outside,) = _only(manifests, "Service")["spec"]["ports"]
    assert outside["targetPort"] == port["name"]
    template = _only(manifests, "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])


async def test_probe_and_metrics_paths_exist(tmp_path: Path) -> None:
    app = create_app(Settings.load(model_store=write_store(tmp_path)), PretendPool())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code in (200, 503)
        metrics = (await client.get("/metrics")).text
    known = set(re.findall(r"^# TYPE (vcodec_\w+)", metrics, re.MULTILINE))
    triggers = yaml.safe_load((FOLDER / "autoscaling" / "scaled-object.yaml").read_text())["spec"]["triggers"]
    used = {name for trigger in triggers for name in re.findall(r"vcodec_\w+", trigger["metadata"]["query"])}
    assert used == {"vcodec_queue_estimated_wait_seconds", "vcodec_worker_jobs", "vcodec_worker_places"}
    assert used <= known


@pytest.mark.parametrize("overlay", ["base", "cpu", "gpu"])
def test_variables_are_settings_with_values_they_take(
    rendered: dict[str, list[Manifest]], overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _settings(rendered[overlay])
    assert given.keys() <= {setting.variable for setting in describe()}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.devices == {"gpu": "auto"}.get(overlay, "cpu")
    grace_s = _only(rendered[overlay], "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= settings.drain_delay_s + settings.shutdown_grace_s + 25  # docs/operations.md
    assert _container(rendered[overlay])["readinessProbe"]["periodSeconds"] * 2 < settings.drain_delay_s


@pytest.mark.parametrize(("overlay", "kind"), [("cpu", "Deployment"), ("gpu", "Deployment"), ("bulk", "Job")])
def test_pods_are_hardened_as_the_image_allows(rendered: dict[str, list[Manifest]], overlay: str, kind: str) -> None:
    pod = _only(rendered[overlay], kind)["spec"]["template"]["spec"]
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in DOCKERFILE
    container = _container(rendered[overlay], kind)
    assert container["image"] == f"virtual-codec:{'gpu' if overlay == 'gpu' else 'cpu'}"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert "memory" in container["resources"]["limits"]


def test_replicas_are_left_to_the_autoscaler(rendered: dict[str, list[Manifest]]) -> None:
    for overlay in ("cpu", "gpu"):
        deployment, scaled = (_only(rendered[overlay], kind) for kind in ("Deployment", "ScaledObject"))
        assert "replicas" not in deployment["spec"]
        assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        assert labels >= _only(rendered[overlay], "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items()
        assert labels >= _only(rendered[overlay], "Service")["spec"]["selector"].items()


def test_gpus_are_asked_for_and_their_nodes_chosen(rendered: dict[str, list[Manifest]]) -> None:
    pod = _only(rendered["gpu"], "Deployment")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert _container(rendered["gpu"])["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nodeSelector" not in _only(rendered["cpu"], "Deployment")["spec"]["template"]["spec"]


def test_keys_come_from_a_secret(tmp_path: Path, rendered: dict[str, list[Manifest]]) -> None:
    for folder in ("base", "keys"):
        shutil.copytree(FOLDER / folder, tmp_path / folder)
    (tmp_path / "kustomization.yaml").write_text("resources: [base]\ncomponents: [keys]\n")
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, check=True, timeout=60)
    container = _container(list(yaml.safe_load_all(done.stdout)))
    (variable,) = container["env"]
    assert variable["name"] in {setting.variable for setting in describe()}
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "keys")
    assert variable["value"] == f"{mount['mountPath']}/api-keys"


def test_the_bulk_job_is_a_command_that_parses_and_its_shards_are_all_of_it(
    rendered: dict[str, list[Manifest]],
) -> None:
    job = _only(rendered["bulk"], "Job")["spec"]
    program, *line = _container(rendered["bulk"], "Job")["args"]
    arguments = make_parser().parse_args([text.replace("$(SHARD)", "0") for text in line])
    assert (program, arguments.verb, arguments.action) == ("vcodec", "bulk", "compress")
    assert arguments.shard == f"0/{job['completions']}"
    mounts = [mount["mountPath"] for mount in _container(rendered["bulk"], "Job")["volumeMounts"]]
    assert {arguments.source, arguments.target} <= set(mounts)
