"""`vcodec compress` and `decompress` by the command line, with real models in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import add_codecs_model, make_store
from tests.pictures import opened, saved, scene
from virtual_codec import images
from virtual_codec.cli import main


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_store(tmp_path_factory.mktemp("store")).root
    add_codecs_model(root)
    return root


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
