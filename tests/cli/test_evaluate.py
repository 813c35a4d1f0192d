from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import final

import numpy as np
import pytest
from PIL import Image

from virtual_codec.cli import main
from virtual_codec.cli._image_codec import CodecConfig
from virtual_codec.jobs import CompressOptions, CompressResult, RestoreOptions, RestoreResult


@final
class PlainJpeg:
    """Ordinary JPEGs: the least that can be evaluated."""

    def open(self, config: CodecConfig) -> PlainJpeg:
        return self

    def compress(self, data: bytes, options: CompressOptions | None = None) -> CompressResult:
        quality = (options and options.quality) or 50
        image = Image.open(io.BytesIO(data)).convert("RGB")
        stream = io.BytesIO()
        image.save(stream, "jpeg", quality=quality)
        return CompressResult(
            stream=stream.getvalue(),
            media_type="image/jpeg",
            model="0a1b2c3d",
            scale=1,
            width=image.width,
            height=image.height,
            quality=quality,
        )

    def close(self) -> None:
        pass

    def restore(self, data: bytes, options: RestoreOptions | None = None) -> RestoreResult:
        image = Image.open(io.BytesIO(data))
        restored = io.BytesIO()
        image.save(restored, "png")
        return RestoreResult(
            image=restored.getvalue(),
            media_type="image/png",
            model="0a1b2c3d",
            scale=1,
            width=image.width,
            height=image.height,
            rate_bpp=1.0,
        )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(small).resize((176, 168), Image.Resampling.BICUBIC).save(folder / "a.png")
    return folder


def test_evaluate_writes_its_report_and_says_where(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    places = ["--data", str(pictures), "--out", str(out), "--cache", str(cache)]
    flags = ["--qualities", "20,40,60,80", "--anchors", "jpeg", "--no-foreign", "--jobs", "1"]
    line = ["evaluate", *places, *flags, "--variant", "plain:effort=1"]
    assert main(line, open_codec=PlainJpeg().open) == 0
    assert capsys.readouterr().out == f"{out / 'results.md'}\n"
    assert (out / "results.md").is_file()
    assert main([*line, "--resume", "--json"], open_codec=PlainJpeg().open) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "summary.json").read_text())


@pytest.mark.parametrize("flags", [["--variant", "fast:speed=9"], ["--qualities", "0"], ["--anchors", "gif"]])
def test_what_cannot_be_measured_is_a_misuse(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    line = ["evaluate", "--data", str(pictures), "--out", str(tmp_path / "out"), *flags]
    assert main(line, open_codec=PlainJpeg().open) == 2
    assert capsys.readouterr().err.startswith("vcodec: ")
    assert not (tmp_path / "out").exists()


def test_a_damaged_picture_is_named(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "b.png").write_bytes((pictures / "a.png").read_bytes()[:-100])
    places = ["--data", str(pictures), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main(["evaluate", *places, "--anchors", "jpeg", "--no-foreign"], open_codec=PlainJpeg().open) == 1
    assert capsys.readouterr().err == (
        f"vcodec: {pictures / 'b.png'}: the PNG is truncated; repair the file, or remove it from the folder\n"
    )


def test_a_plot_that_cannot_be_drawn_is_said(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as where it is not installed
    places = ["--data", str(pictures), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    flags = ["--qualities", "20,40,60,80", "--anchors", "jpeg", "--no-foreign"]
    assert main(["evaluate", *places, *flags], open_codec=PlainJpeg().open) == 0
    said = "There is no plot: matplotlib is missing. `pip install 'virtual-codec[evaluate]'` installs it."
    assert capsys.readouterr().err == f"vcodec: {said}\n"
    assert said in (tmp_path / "out" / "results.md").read_text()


def test_a_folder_without_pictures_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["evaluate", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(line, open_codec=PlainJpeg().open) == 1
    assert capsys.readouterr().err
