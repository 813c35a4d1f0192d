"""`vcodec compress` and `decompress` by the command line, with real models in this process."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import add_codecs_model, make_store
from tests.pictures import opened, saved, scene
from virtual_codec import images
from virtual_codec.cli import main
from virtual_codec.store import ModelStore, model_id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_store(tmp_path_factory.mktemp("store")).root
    add_codecs_model(root)
    for name, change in (("old", {"retired": True}), ("single", {})):
        _add_variant(root, name, **change)
    return root


def _add_variant(root: Path, name: str, **change: bool) -> None:
    """Write a model that restores at scale 2 only."""
    folder = root / name
    tiny = ModelStore(root).get("tiny")
    shutil.copytree(root / "tiny", folder)
    arguments: dict[str, int | float | str | bool] = {"channels": 8, "blocks": 1, "scale": 2, "name": name}
    entry = replace(tiny.networks["postprocess-2"], arguments=arguments)
    networks = {"postprocess-2": entry}
    manifest = replace(tiny, name=name, id=model_id(networks), networks=networks, **change)  # type: ignore[arg-type]
    (folder / "manifest.json").write_text(manifest.to_json())


def _without_output(arguments: str) -> list[str]:
    """Arguments of `compress` as `bulk compress` takes them: the codec by its name."""
    output, *others = arguments.split()
    return [*others, "--codec", "webp"] if output.endswith("webp") else others


@pytest.mark.parametrize(("name", "codec"), [("a.jpg", "jpeg"), ("a.webp", "webp"), ("a.jp2", "jpeg2000")])
def test_every_codec_works_without_a_server(
    name: str, codec: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(scene(24, 32)))
    options = ["--model-store", str(store), "--device", "cpu", "--quiet"]
    assert main(["compress", "a.png", name, *options]) == 0
    assert images.sniff(Path(name).read_bytes()) == codec
    assert main(["decompress", name, "restored.png", *options]) == 0
    assert opened(Path("restored.png").read_bytes()).shape == (24, 32, 3)


def test_options_in_conflict_are_misuse(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(scene(24, 32)))
    options = ["--model-store", str(store), "--device", "cpu", "--quiet"]
    assert main(["compress", "a.png", "a.webp", "--scale", "2", *options]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("a.webp --model tiny", "model tiny supports jpeg, not webp"),
        ("a.jpg --model tiny-codecs", "model tiny-codecs supports avif, webp, jpeg2000, not jpeg"),
        ("a.jpg --model old", "model old is retired: it restores its streams but makes no new ones"),
        ("a.jpg --model single --scale 1", "model single works at scale 2 only, got 1"),
    ],
)
def test_a_model_that_lacks_what_is_asked_is_a_misuse(
    arguments: str,
    complaint: str,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(scene(24, 32)))
    options = ["--model-store", str(store), "--device", "cpu"]
    assert main(["compress", "a.png", *arguments.split(), *options]) == 2
    assert capsys.readouterr().err == f"vcodec: {complaint}\n"
    assert main(["bulk", "compress", ".", "out", *_without_output(arguments), *options]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_store_without_the_codec_is_a_misuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_store(tmp_path / "store")
    Path("a.png").write_bytes(saved(scene(24, 32)))
    assert main(["compress", "a.png", "a.webp", "--model-store", "store"]) == 2
    assert capsys.readouterr().err == "vcodec: model tiny supports jpeg, not webp\n"
