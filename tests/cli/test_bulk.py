"""`vcodec bulk` by its command line, with a real model in real worker processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models import add_codecs_model, make_store
from tests.pictures import opened, saved, scene
from virtual_codec import images
from virtual_codec.cli import main
from virtual_codec.store import ModelStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_store(tmp_path_factory.mktemp("store")).root
    add_codecs_model(root)
    return root


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCODEC_MODEL_STORE", str(store))
    monkeypatch.setenv("VCODEC_DEVICES", "cpu")
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        (tmp_path / "in" / name).write_bytes(saved(scene(24, 32, seed=len(name))))


def test_a_folder_goes_to_streams_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    (Path("in") / "bad.png").write_text("no image")
    assert main(["bulk", "compress", "in", "streams", "--effort", "0", "--quality", "40", "--jobs", "1", "--json"]) == 1
    out, err = capsys.readouterr()
    *files, summary = [json.loads(line) for line in out.splitlines()]
    assert sorted(line["input"] for line in files) == ["a.png", "bad.png", "deep/b.png"]
    assert {line["quality"] for line in files if "error" not in line} == {40}
    assert (summary["summary"]["done"], summary["summary"]["failed"], summary["summary"]["left"]) == (2, 1, 0)
    assert "vcodec: bad.png: " in err
    assert "MP/s a worker" in err
    assert "failures are listed in" in err
    assert main(["bulk", "decompress", "streams", "restored", "--format", "webp", "--jobs", "1", "--quiet"]) == 0
    assert opened(Path("restored/deep/b.webp").read_bytes()).shape == (24, 32, 3)


def test_files_of_every_codec_are_made_and_restored() -> None:
    assert main(["bulk", "compress", "in", "streams", "--codec", "webp", "--jobs", "1", "--quiet"]) == 0
    assert images.sniff(Path("streams/a.webp").read_bytes()) == "webp"
    Path("streams/other.webp").write_bytes(saved(scene(24, 32), "WEBP"))
    Path("streams/other.jpg").write_bytes(saved(scene(24, 32), "JPEG"))
    run = ["bulk", "decompress", "streams", "restored", "--keep-suffix", "--jobs", "1", "--quiet"]
    assert main(run) == 0
    for name in ("a.webp", "deep/b.webp", "other.webp", "other.jpg"):
        assert opened(Path(f"restored/{name}.png").read_bytes()).shape == (24, 32, 3)


def test_streams_and_other_files_keep_their_model_when_a_newer_one_is_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store")
    older = add_codecs_model(store.root)
    options = ["--model-store", str(store.root), "--jobs", "1", "--quiet"]
    assert main(["bulk", "compress", "in", "streams", "--codec", "webp", *options]) == 0
    Path("streams/other.webp").write_bytes(saved(scene(24, 32), "WEBP"))
    assert main(["bulk", "decompress", "streams", "before", "--json", *options]) == 0
    newer = add_codecs_model(store.root, name="tiny-newer", seed=6, strength=0.2)
    newer_file = store.root / newer.name / "manifest.json"
    newer_file.write_text(newer_file.read_text().replace(newer.created, "2026-01-03"))
    assert ModelStore(store.root).default_of("webp").id == newer.id
    capsys.readouterr()
    assert main(["bulk", "decompress", "streams", "after", "--json", *options]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    models = {line["input"]: line["model"] for line in lines if "input" in line}
    assert models == {"a.webp": older.id, "deep/b.webp": older.id, "other.webp": newer.id}
    for name, is_same in (("a.png", True), ("deep/b.png", True), ("other.png", False)):
        assert (Path("before", name).read_bytes() == Path("after", name).read_bytes()) == is_same
    Path("streams/late.webp").write_bytes(Path("streams/other.webp").read_bytes())
    assert main(["bulk", "decompress", "streams", "before", *options]) == 0  # goes on with the model that it began with
    assert Path("before/late.png").read_bytes() == Path("before/other.png").read_bytes()


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bulk", "compress", "in", "out", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == ["a.png -> a.jpg", "deep/b.png -> deep/b.jpg"]
    assert "2 to do" in err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("in out --quality 0", "quality must be a whole number from 1 to 100"),
        ("in out --codec nosuch", "supports jpeg, not nosuch"),
        ("in out --model nosuch", "nosuch"),
        ("in out --shard 3/3", "INDEX from 0 to COUNT - 1"),
        ("in out --shard third", "--shard must be INDEX/COUNT"),
        ("in nosuch://bucket", "virtual-codec[bulk]"),
        ("in in", "contains the source"),
        ("model out", "there is no folder"),
    ],
)
def test_misuse_is_told_before_anything_is_done(line: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bulk", "compress", *line.split()]) == 2
    assert complaint in capsys.readouterr().err
    assert not Path("out").exists()
