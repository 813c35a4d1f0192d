"""The Python interface."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import virtual_codec as vc
from tests.models import make_store
from tests.pictures import scene
from virtual_codec.cli import main
from virtual_codec.errors import BadOption, UndecodableImage, UnsupportedFormat
from virtual_codec.sources import image_file

PIXELS = scene(48, 64)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vc.Codec]:
    store = make_store(tmp_path_factory.mktemp("store"))
    with vc.open(device="cpu", model_store=store.root) as codec:
        yield codec


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_importing_loads_nothing_and_names_are_there() -> None:
    code = "import sys, virtual_codec as vc; print('torch' in sys.modules, 'numpy' in sys.modules, *dir(vc))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded_torch, loaded_numpy, *names = done.stdout.split()
    assert (loaded_torch, loaded_numpy) == ("False", "False")
    assert set(vc.__all__) <= set(names)
    assert all(hasattr(vc, name) for name in vc.__all__)


def test_every_kind_of_image_gives_the_same_stream(codec: vc.Codec, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(PIXELS))
    sources: list[Any] = [tmp_path / "a.png", str(tmp_path / "a.png"), png(PIXELS), PIXELS, Image.fromarray(PIXELS)]
    assert len({bytes(codec.compress(source, quality=40)) for source in sources}) == 1


def test_a_stream_is_saved_restored_and_described(codec: vc.Codec, tmp_path: Path) -> None:
    stream = codec.compress(PIXELS, quality=40)
    stream.save(tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == bytes(stream)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    assert (stream.size, stream.quality, len(stream)) == ((64, 48), 40, len(bytes(stream)))
    assert stream.rate_bpp == 8 * len(stream) / (64 * 48)
    for source in (stream, bytes(stream), tmp_path / "a.jpg"):
        assert codec.restore(source).size == (64, 48)
    webp = codec.restore_bytes(stream, output="webp")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(webp))), np.asarray(codec.restore(stream)))
    found = vc.info(tmp_path / "a.jpg")
    assert (found.model, found.scale) == (stream.model, stream.scale)
    assert (found.restored_width, found.restored_height) == stream.size
    assert vc.info(png(PIXELS)).model is None


def test_a_pipe_is_written_to_and_never_replaced(codec: vc.Codec, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    stream = codec.compress(PIXELS, quality=40)
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(pipe.read_bytes)
        stream.save(pipe)
    assert received.result() == bytes(stream)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_options_take_what_their_messages_say(codec: vc.Codec) -> None:
    assert bytes(codec.compress(PIXELS, scale="auto", background="ffffff")) == bytes(codec.compress(PIXELS))
    for wrong, said in (
        ({"scale": 3}, "scale must be"),
        ({"qualty": 3}, "unknown option 'qualty'"),
        ({"quality": "x"}, "quality must be a whole number from 1 to 100, got 'x'"),
        ({"quality": 30.5}, "quality must be a whole number from 1 to 100, got 30.5"),
        ({"quality": 10**400}, "quality must be a whole number from 1 to 100, got inf"),
        ({"codec": 3}, "codec must be a name, got 3"),
        ({"metadata": 3}, "metadata must be one of none, exif, xmp, all, got 3"),
    ):
        with pytest.raises(BadOption, match=said):
            codec.compress(PIXELS, **wrong)
    with pytest.raises(BadOption, match="png, webp or bmp"):
        codec.restore_bytes(b"", output="gif")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, 3, PIXELS.astype(np.float32), PIXELS[None], np.zeros((0, 3), np.uint8)])
def test_another_kind_of_image_gets_a_sentence(codec: vc.Codec, wrong: object) -> None:
    with pytest.raises(TypeError, match="uint8"):
        codec.compress(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path or the bytes"):
        codec.restore(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_pil_images_of_16_bits_keep_their_range(mode: str) -> None:
    samples = np.arange(0, 65_536, 16, dtype=np.uint16).reshape(64, 64)
    image = Image.frombytes(mode, (64, 64), samples.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    written = Image.open(io.BytesIO(image_file(image)))
    assert (written.mode, np.array_equal(np.asarray(written), samples)) == ("I;16", True)


@pytest.mark.parametrize("mode", ["PA", "RGBa"])
def test_pil_images_keep_their_alpha(mode: str) -> None:
    image = Image.fromarray(np.dstack([PIXELS, np.full(PIXELS.shape[:2], 99, np.uint8)])).convert(mode)
    assert (np.asarray(Image.open(io.BytesIO(image_file(image))))[..., 3] == 99).all()


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pil_images_without_a_fixed_range_are_refused(codec: vc.Codec, mode: str) -> None:
    with pytest.raises(TypeError, match=f"got {mode}; convert it first"):
        codec.compress(Image.new(mode, (8, 8)))


def test_a_file_that_is_no_image_is_refused(codec: vc.Codec) -> None:
    with pytest.raises(UnsupportedFormat):
        codec.compress(b"no image")
    with pytest.raises(UndecodableImage):
        vc.info(b"\xff\xd8\xff")


def test_pictures_are_compared() -> None:
    same = vc.compare(png(PIXELS), png(PIXELS))
    assert (same.psnr_db, same.ssim, same.ms_ssim, same.colour_drift) == (float("inf"), 1, None, 0)
    brighter = np.clip(PIXELS.astype(np.int32) + 4, 0, 255).astype(np.uint8)
    assert 35 < vc.compare(png(PIXELS), png(brighter)).psnr_db < 40
    with pytest.raises(BadOption, match="64x48 and 32x48"):
        vc.compare(png(PIXELS), png(PIXELS[:, :32]))


def test_the_commands_say_the_same(
    codec: vc.Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stream = codec.compress(PIXELS, quality=40)
    stream.save("a.jpg")
    Path("a.png").write_bytes(png(PIXELS))
    assert main(["info", "a.jpg", "a.png", "none.jpg"]) == 1
    out, err = capsys.readouterr()
    assert f"model {stream.model}, scale {stream.scale}" in out
    assert "a.png: png" in out
    assert err == "vcodec: none.jpg: No such file or directory\n"
    assert main(["compare", "a.png", "a.png", "--json", "--diff", "d.png"]) == 0
    assert '"psnr_db": null' in capsys.readouterr().out
    assert np.unique(np.asarray(Image.open("d.png"))).tolist() == [128]
    assert main(["compare", "a.png", "a.png", "--diff", "d.png"]) == 1
    assert capsys.readouterr().err == "vcodec: d.png: exists; --force replaces it\n"
    assert main(["compare", "a.png", "d.png", "--diff", "./d.png", "--force"]) == 2
    assert "--diff would replace d.png, which is an input" in capsys.readouterr().err
    assert np.unique(np.asarray(Image.open("d.png"))).tolist() == [128]
