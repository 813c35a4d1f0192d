"""Messages of a conversion name the file that they are about."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.fakes import PrefixCodec
from tests.conftest import ROOT
from virtual_codec.cli import main

# `vcodec` with the codec of the tests.
VCODEC = (
    "import sys; from tests.cli.fakes import PrefixCodec; from virtual_codec.cli import main; "
    "sys.exit(main(open_codec=PrefixCodec().open))"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_space() -> Iterator[None]:
    """Let files grow to 64 bytes only, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def vcodec(*arguments: str) -> list[str]:
    return [sys.executable, "-c", VCODEC, *arguments]


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return inherited | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'service'}"}


def test_a_disk_without_space_is_said_of_the_output(capfd: pytest.CaptureFixture[str], no_space: None) -> None:
    Path("a.png").write_bytes(b"x" * 60)
    status = main(["compress", "a.png", "b.jpg", "--quiet"], open_codec=PrefixCodec().open)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert status == 1
    assert capfd.readouterr().err == "vcodec: a.png: cannot write b.jpg: File too large\n"
    assert [path.name for path in Path().iterdir()] == ["a.png"]


def test_a_full_device_is_said_of_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.png").write_bytes(b"x")
    assert main(["compress", "a.png", "-o", "/dev/full"], open_codec=PrefixCodec().open) == 1
    assert capsys.readouterr().err == "vcodec: a.png: cannot write /dev/full: No space left on device\n"


def test_a_pipe_that_is_named_is_refused_and_does_not_hang(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("a.png")
    Path("b.png").write_bytes(b"x")
    assert main(["compress", "a.png", "b.png", "-o", "out"], open_codec=PrefixCodec().open) == 1
    assert 'vcodec: a.png: not a regular file; pipe its content into "-"\n' in capsys.readouterr().err
    assert Path("out/b.jpg").exists()


def test_a_closed_stdout_is_said_and_every_file_is_converted() -> None:
    Path("in").mkdir()
    for number in range(14):
        Path(f"in/{number}.png").write_bytes(b"x")
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(vcodec("compress", "in", "out/"), stdout=writer, stderr=-1, env=environment()) as process:
        os.close(writer)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = error.decode().splitlines()
    assert lines[0] == "vcodec: stdout was closed by its reader; the other files are converted without output lines"
    assert len(list(Path("out").iterdir())) == 14


def test_an_image_for_a_closed_stdout_is_a_failure_that_names_stdout() -> None:
    Path("a.png").write_bytes(b"x")
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(vcodec("compress", "a.png", "-"), stdout=writer, stderr=-1, env=environment()) as process:
        os.close(writer)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error.decode() == "vcodec: a.png: stdout was closed by its reader\n"


def test_a_stdout_that_was_never_open_is_a_misuse() -> None:
    Path("a.png").write_bytes(b"x")
    shell = ["sh", "-c", '"$0" "$@" >&-', *vcodec("compress", "a.png", "b.jpg")]
    done = subprocess.run(shell, stderr=-1, env=environment(), check=False)
    assert (done.returncode, done.stderr) == (2, b"vcodec: stdout is closed; send it to a file or to /dev/null\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a device of Linux")
def test_a_full_disk_under_stdout_is_said() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(vcodec("keys", "new", "me"), stdout=full, stderr=-1, env=environment(), check=False)
    assert done.returncode == 1
    assert done.stderr == b"vcodec: cannot write to stdout: No space left on device\n"
