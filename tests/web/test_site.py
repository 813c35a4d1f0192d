"""The files of the site: complete, named by what is in them, and compiled from the sources beside them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.models import make_store
from virtual_codec.errors import BadModel
from virtual_codec.store import ModelStore
from virtual_codec.web import WebSite

FOLDER = ROOT / "service" / "virtual_codec" / "web"


def test_the_script_names_the_version_and_the_default_models() -> None:
    site = WebSite()
    script = site.script("11111111", "22222222").content.decode()
    assert 'MODEL = "11111111", CODEC_MODEL = "22222222"' in script
    assert f'new URL("{site.version}/", import.meta.url)' in script


@pytest.mark.parametrize(
    ("name", "exports"),
    [
        ("restore.js", ["export async function restore(source, { signal } = {}) {"]),
        ("codecs.js", ["export { parseAvif, parseWebp };"]),
    ],
)
def test_a_script_is_one_module_of_its_parts(name: str, exports: list[str]) -> None:
    files = WebSite().export(ModelStore(ROOT / "model_store"))
    [script] = [file.content.decode() for file in files if file.path.endswith(name)]
    assert not re.findall(r"^import .*", script, re.MULTILINE)
    assert re.findall(r"^export .*", script, re.MULTILINE) == exports
    names = re.findall(r"^(?:async )?(?:function\*?|const|let) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names))


def test_every_part_is_in_a_script() -> None:
    imported = {name for path in FOLDER.glob("*.js") for name in re.findall(r'from "\./(\w+\.js)"', path.read_text())}
    assert imported == {path.name for path in FOLDER.glob("*.js")} - {"restore.js", "codecs.js", "worker.js"}


def test_an_export_holds_every_model_and_says_so() -> None:
    store = ModelStore(ROOT / "model_store")
    *files, manifest = WebSite().export(store)
    listed = json.loads(manifest.content)
    assert [row["path"] for row in listed["files"]] == [file.path for file in files]
    assert [row["sha256"] for row in listed["files"]] == [hashlib.sha256(file.content).hexdigest() for file in files]
    names = {file.path.rpartition("/")[2] for file in files}
    assert names == {"restore.js", "codecs.js", "worker.js", "kernels.wasm"} | {
        f"{model.id}-{scale}.bin" for model in store.models() for scale in model.scales
    }
    assert all(file.path == "restore.js" or file.path.startswith(f"{listed['version']}/") for file in files)


LIMITS = {"postprocess": 600_000, "u-shaped-postprocess": 1_000_000}  # bytes over the wire, by the kind of network
STORE = ModelStore(ROOT / "model_store")


@pytest.mark.parametrize("name", [model.name for model in STORE.models()])
def test_one_network_with_script_and_kernels_is_small(name: str) -> None:
    model = STORE.get(name)
    files = WebSite().model_files(STORE, model)
    fixed = sum(len(file.content) for file in files if not file.path.endswith(".bin"))
    for scale in model.scales:
        [weights] = [file for file in files if file.path.endswith(f"-{scale}.bin")]
        assert fixed + len(weights.content) < LIMITS[model.networks[f"postprocess-{scale}"].architecture]


def test_a_model_of_files_that_no_browser_decodes_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    with pytest.raises(BadModel, match="no browser decodes"):
        WebSite().weights(store, replace(store.default, codecs=["jpeg2000"]), 1)


def test_a_network_of_several_views_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    arguments = {**store.default.networks["postprocess-1"].arguments, "views": 2}
    entry = replace(store.default.networks["postprocess-1"], arguments=arguments)
    model = replace(store.default, networks={**store.default.networks, "postprocess-1": entry})
    with pytest.raises(BadModel, match="several views"):
        WebSite().weights(store, model, 1)


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="the compiler (ziglang) is not installed here")
def test_the_kernels_are_compiled_from_their_source(tmp_path: Path) -> None:
    made = tmp_path / "kernels.wasm"
    command = [sys.executable, "-m", "ziglang", "cc", f"@{FOLDER / 'kernels.flags'}", "-o", str(made)]
    subprocess.run([*command, *(str(FOLDER / name) for name in ("networks.c", "pixels.c"))], check=True, timeout=300)
    assert made.read_bytes() == (FOLDER / "kernels.wasm").read_bytes()
