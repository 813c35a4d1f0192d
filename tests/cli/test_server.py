"""The command line with a running server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.pretend import PretendPool, picture, write_store
from tests.served import served
from virtual_codec.api import create_app
from virtual_codec.cli import main
from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions, RestoreOptions
from virtual_codec.settings import Settings

SECRET = "a-secret-of-the-tests"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCODEC_API_KEY", SECRET)


@pytest.fixture
def pool() -> PretendPool:
    return PretendPool()


@pytest.fixture
def url(pool: PretendPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings.load(model_store=write_store(tmp_path_factory.mktemp("store")), api_keys=SECRET)
    with served(create_app(settings, pool)) as address:
        yield address


def test_a_server_does_the_work(url: str, pool: PretendPool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.measured = {"psnr_db": 31.5, "left_out": ("exif",)}  # type: ignore[dict-item]  # what a result may hold
    for name in ("a", "b"):
        Path("in").mkdir(exist_ok=True)
        Path(f"in/{name}.png").write_bytes(picture())
    assert main(["compress", "in", "-o", "out/", "--url", url, "-q", "30", "--metadata", "xmp", "--requests", "2"]) == 0
    assert {it.name: it.read_bytes() for it in Path("out").iterdir()} == dict.fromkeys(
        ("a.jpg", "b.jpg"), b"\xff\xd8stream\xff\xd9"
    )
    out, err = capsys.readouterr()
    assert "quality=30 scale=2 model=0badf00d psnr_db=31.5" in out
    assert "left out: EXIF of 2 images" in err
    options = pool.jobs[0][0].options
    assert isinstance(options, CompressOptions)
    assert (options.quality, options.metadata) == (30, "xmp")
    Path("c.jpg").write_bytes(picture("JPEG"))
    assert main(["decompress", "c.jpg", "c.webp", "--url", url]) == 0
    assert Path("c.webp").read_bytes() == pool.image
    options = pool.jobs[-1][0].options
    assert isinstance(options, RestoreOptions)
    assert options.output == "webp"


def test_an_error_of_the_server_is_that_of_the_file(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    Path("b.png").write_bytes(picture())
    assert main(["compress", "a.heic", "b.png", "-o", "out/", "--url", url]) == 1
    assert (
        "vcodec: a.heic: HEIC images are not supported; export the photo as JPEG or PNG first"
        in capsys.readouterr().err
    )
    assert Path("out/b.jpg").exists()


def test_a_server_that_cannot_be_used_is_told_once(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        Path(f"{name}.png").write_bytes(picture())
    assert main(["compress", "a.png", "b.png", "-o", "out/", "--url", url, "--api-key", "wrong"]) == 1
    assert capsys.readouterr().err.count("API key") == 1
    monkeypatch.delenv("VCODEC_API_KEY")
    assert main(["compress", "a.png", "b.png", "-o", "out/", "--url", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.count("the server cannot be reached") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--api-key k", "--api-key needs --url"),
        ("--requests 2", "--requests needs --url"),
        ("--url http://127.0.0.1:9 --device cpu", "--device has no effect on a server"),
        ("--url 127.0.0.1:9", "the url must begin with http:// or https://"),
    ],
)
def test_options_that_contradict_a_server_are_a_misuse(
    options: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.png").write_bytes(picture())
    assert main(["compress", "a.png", "-o", "b.jpg", *options.split()]) == 2
    assert said in capsys.readouterr().err


def test_options_that_the_server_refuses_for_every_file_are_a_misuse(
    url: str, pool: PretendPool, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        Path(f"{name}.png").write_bytes(picture())
    pool.error = BadOption("model small supports jpeg, not avif")
    assert main(["compress", "a.png", "b.png", "-o", "out/", "--url", url, "--model", "small"]) == 2
    assert capsys.readouterr().err.count("model small supports jpeg, not avif") == 2
    pool.error = None
    assert main(["compress", "a.png", "b.png", "-o", "out/", "--url", url, "--model", "unknown"]) == 2
    Path("c.png").write_bytes(b"no image")
    assert main(["compress", "a.png", "c.png", "-o", "out/", "--url", url, "--requests", "1"]) == 1
