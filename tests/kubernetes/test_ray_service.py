"""The RayService has only documented fields, pods that are valid, and an application that the code has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.conftest import ROOT
from virtual_codec.serving import import_from_string
from virtual_codec.settings import Settings

FOLDER: Final = ROOT / "docker" / "kubernetes" / "ray"
DOCKERFILE: Final = (ROOT / "docker" / "ray.Dockerfile").read_text()
# The fields that the API reference of KubeRay's ray.io/v1 names, those marked as deprecated left out.
DOCUMENTED: Final = {
    "RayService": {
        "serveService",
        "upgradeStrategy",
        "serveConfigV2",
        "rayClusterConfig",
        "excludeHeadPodFromServeSvc",
    },
    "RayCluster": {
        "authOptions",
        "suspend",
        "managedBy",
        "autoscalerOptions",
        "enableInTreeAutoscaling",
        "gcsFaultToleranceOptions",
        "headGroupSpec",
        "rayVersion",
        "workerGroupSpecs",
    },
    "head": {"template", "headService", "enableIngress", "rayStartParams", "serviceType"},
    "worker": {
        "suspend",
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "idleTimeoutSeconds",
        "rayStartParams",
        "template",
        "scaleStrategy",
        "numOfHosts",
    },
}


def _built(folder: Path) -> dict[str, Any]:
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl to build the overlay with")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (service,) = yaml.safe_load_all(done.stdout)
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    assert isinstance(service, dict)
    return service


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    found = _built(FOLDER)["spec"]
    assert isinstance(found, dict)
    return found


def _groups(spec: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = spec["rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_fields_are_those_of_the_api_reference(spec: dict[str, Any]) -> None:
    cluster = spec["rayClusterConfig"]
    head, *workers = _groups(spec)
    for kind, found in (("RayService", spec), ("RayCluster", cluster), ("head", head)):
        assert found.keys() <= DOCUMENTED[kind]
    for worker in workers:
        assert worker.keys() <= DOCUMENTED["worker"]
        assert worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]
    for group in _groups(spec):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert cluster["authOptions"] == {"mode": "token"}


def test_pods_are_valid_and_hardened(spec: dict[str, Any]) -> None:
    schemas: Any = pytest.importorskip("kubernetes_validate")
    for group in _groups(spec):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": group["template"]["spec"]}
        schemas.validate(pod, schemas.latest_version(), strict=True)
        (container,) = pod["spec"]["containers"]
        user = pod["spec"]["securityContext"]
        assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in DOCKERFILE
        assert user["runAsNonRoot"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert "memory" in container["resources"]["limits"]


def test_the_application_is_one_that_the_code_builds(spec: dict[str, Any]) -> None:
    config = yaml.safe_load(spec["serveConfigV2"])
    (application,) = config["applications"]
    assert callable(import_from_string(application["import_path"]))
    settings = Settings.load(**application["args"])
    assert settings.ray_max_replicas is not None
    ports = {
        port["name"]: port["containerPort"] for port in _groups(spec)[1]["template"]["spec"]["containers"][0]["ports"]
    }
    assert config["http_options"]["port"] == ports["serve"]
    assert f"EXPOSE {ports['serve']}" in DOCKERFILE
    cores = float(_groups(spec)[1]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    most_nodes = spec["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplicas"]
    assert settings.ray_max_replicas * settings.ray_cpus <= cores * most_nodes


def test_the_release_of_ray_is_that_of_the_extra_and_of_the_image(spec: dict[str, Any]) -> None:
    least, below = re.findall(
        r'^ray = \["ray\[serve\]>=([0-9.]+),<([0-9.]+)"\]', (ROOT / "pyproject.toml").read_text(), re.M
    )[0]
    assert f"'ray[serve]>={least},<{below}'" in DOCKERFILE
    assert spec["rayClusterConfig"]["rayVersion"].startswith(f"{least}.")


def test_another_registry_is_named_in_one_place(tmp_path: Path) -> None:
    for file in FOLDER.iterdir():
        text = file.read_text().replace("# images:", "images:").replace("}]  # see", "}] # see")
        (tmp_path / file.name).write_text(text)
    images = {group["template"]["spec"]["containers"][0]["image"] for group in _groups(_built(tmp_path)["spec"])}
    assert images == {"registry.example/virtual-codec:ray"}


@pytest.mark.ray
def test_ray_takes_the_configuration(spec: dict[str, Any]) -> None:
    schema: Any = pytest.importorskip("ray.serve.schema")
    deployed = schema.ServeDeploySchema.model_validate(yaml.safe_load(spec["serveConfigV2"]))
    assert [application.name for application in deployed.applications] == ["virtual-codec"]
