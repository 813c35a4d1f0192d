"""Files for restoring in the browser are served to everybody: the script revalidated, the rest for ever."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.api.conftest import Connect
from tests.api.pretend import problem
from tests.conftest import ROOT
from virtual_codec.store import ModelStore

MODELS = ROOT / "model_store"
ORIGIN = "https://site.example"


@pytest.fixture
async def released(connect: Connect) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service with the released models, which asks for keys and allows one origin."""
    async with connect(model_store=MODELS, api_keys="a-key-that-nobody-sends-here", cors_origins=ORIGIN) as client:
        yield client


async def test_the_files_of_a_model_are_what_its_list_says(released: httpx2.AsyncClient) -> None:
    model = ModelStore(MODELS).default
    listed = (await released.get(f"/models/{model.name}/web")).json()
    assert (listed["model"], listed["script"]) == (model.id, "/web/restore.js")
    assert listed == (await released.get(f"/models/{model.id}/web")).json()
    endings = [row["path"].rpartition("/")[2] for row in listed["files"]]
    weights = [f"{model.id}-{scale}.bin" for scale in model.scales]
    assert endings == ["restore.js", "worker.js", "kernels.wasm", *weights]
    for row in listed["files"]:
        answer = await released.get(row["path"])
        assert answer.status_code == 200
        assert (len(answer.content), hashlib.sha256(answer.content).hexdigest()) == (row["bytes"], row["sha256"])
        is_script = row["path"] == listed["script"]
        assert ("immutable" in answer.headers["cache-control"]) is not is_script


async def test_the_script_is_revalidated_by_its_etag(released: httpx2.AsyncClient) -> None:
    first = await released.get("/web/restore.js")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    etag = first.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = await released.get("/web/restore.js", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (await released.get("/web/restore.js", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_allowed_origins_may_import_the_script(released: httpx2.AsyncClient) -> None:
    allowed = await released.get("/web/restore.js", headers={"Origin": ORIGIN})
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    other = await released.get("/web/restore.js", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_head_says_what_get_would(released: httpx2.AsyncClient) -> None:
    for row in (await released.get("/models/standard-2/web")).json()["files"]:
        head = await released.head(row["path"])
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == row["bytes"]


@pytest.mark.parametrize(
    "path", ["/web/0123456789ab/kernels.wasm", "/web/{version}/00000000-1.bin", "/web/{version}/x"]
)
async def test_other_versions_and_names_are_not_found(released: httpx2.AsyncClient, path: str) -> None:
    version = (await released.get("/models/standard-2/web")).json()["version"]
    detail = problem(await released.get(path.format(version=version)), 404, "not_found")["detail"]
    assert "/web/restore.js" in detail


async def test_a_model_that_no_browser_runs_is_not_found(client: httpx2.AsyncClient) -> None:
    assert "small" in problem(await client.get("/models/small/web"), 404, "not_found")["detail"]
    assert (await client.get("/web/restore.js")).status_code == 200
    problem(await client.get("/models/none/web"), 404, "model_not_found")


async def test_an_empty_store_still_serves_the_script(
    connect: Connect, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty: Path = tmp_path_factory.mktemp("empty")
    async with connect(model_store=empty) as client:
        assert 'MODEL = ""' in (await client.get("/web/restore.js")).text


async def test_the_endpoints_are_documented(released: httpx2.AsyncClient) -> None:
    paths = (await released.get("/openapi.json")).json()["paths"]
    for path in ("/web/restore.js", "/web/{version}/{name}", "/models/{model}/web"):
        [operation] = paths[path].values()
        assert "security" not in operation
        assert "200" in operation["responses"]
        assert len(operation.get("parameters", [])) == path.count("{")
