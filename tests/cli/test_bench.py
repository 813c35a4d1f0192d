from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.load_test.echo_server import EchoServer, running_server
from virtual_codec.cli import main, make_parser


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with running_server() as server:
        yield server


def bench(server: EchoServer, *arguments: str) -> int:
    return main(["bench", "--url", server.url, "--seconds", "0.1", *arguments])


def test_bench_sends_the_files_that_are_named(
    server: EchoServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"two")
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    flags = ["--clients", "2", "--header", "X-API-Key: secret", "--json", "--options", "effort=1"]
    assert bench(server, *flags, *files) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures["statuses"]) == {"200"}
    assert figures["images_per_s"] > 1
    assert [kind["label"] for kind in figures["kinds"]] == ["a.png", "b.png"]
    assert {(path, key) for path, key, _ in server.seen} == {("/compress?effort=1", "secret")}
    assert {body for _, _, body in server.seen} == {b"one", b"two"}


def test_a_load_of_streams_compresses_first(
    server: EchoServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    assert bench(server, str(tmp_path / "a.png"), "--task", "decompress") == 0
    assert {(path, body) for path, _, body in server.seen} == {("/compress", b"one"), ("/decompress", b"eno")}
    assert "images/s" in capsys.readouterr().out


def test_both_tasks_and_several_sizes_are_told_apart(server: EchoServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(server, "--task", "both", "--sizes", "16x8,8x16", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert {kind["label"] for kind in figures["kinds"]} == {
        f"/{task} {size}" for task in ("compress", "decompress") for size in ("16x8", "8x16")
    }


def test_a_rate_makes_an_open_loop(server: EchoServer, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--sizes", "8x8", "--rate", "100", "--arrivals", "constant", "--limit", "60000", "--json"]
    assert bench(server, *line) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["loop"], figures["offered_per_s"], figures["arrivals"]) == ("open", 100, "constant")
    assert figures["requests"] == 10
    assert figures["goodput_per_s"] == figures["images_per_s"]
    assert set(figures["lateness_ms"]) == set(figures["latency_ms"])


def test_a_rate_is_found_for_a_latency(server: EchoServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(server, "--sizes", "8x8", "--find-rate", "--limit", "60000", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["offered_per_s"] > 0
    assert said.err.count("p99") == 6


def test_the_table_is_for_people(server: EchoServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(server, "--sizes", "8x8,16x16", "--limit", "60000") == 0
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines() if row}
    assert "closed loop, 4 clients" in rows["load"]
    assert "images/s" in rows["throughput"]
    assert "within 60000 ms" in rows["throughput"]
    assert rows["ms"].split()[1:] == ["p50", "p90", "p95", "p99", "p99.9", "max"]
    assert [len(rows[name].split()) for name in ("latency", "8x8", "16x16")] == [7, 7, 7]
    assert rows["stages"].split()[1:] == ["decode", "1.5", "queue", "0", "device", "4.5", "ms", "per", "request"]
    assert "sent" not in rows  # a closed loop is never late


def test_refusals_are_counted_and_make_it_fail(
    server: EchoServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    assert bench(server, str(tmp_path / "a.png"), "--json") == 1
    figures = json.loads(capsys.readouterr().out)
    assert set(figures["statuses"]) == {"503"}
    assert figures["images_per_s"] == 0
    assert figures["refusal_ms"]["p50"] >= 5


def test_the_page_that_explains_it_names_every_figure_and_shows_commands_that_are_taken(
    server: EchoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "benchmarking.md").read_text(encoding="utf-8")
    assert bench(server, "--sizes", "8x8", "--rate", "50", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert not [name for name in figures if f"`{name}`" not in page]
    shown = [line for line in page.splitlines() if line.startswith("vcodec bench ")]
    assert len(shown) >= 3
    for line in shown:
        make_parser().parse_args(shlex.split(line)[1:])


def test_a_server_that_is_not_there_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert main(["bench", "--url", url, "--sizes", "8x8", "--seconds", "100000"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"vcodec: no server answers at {url}: ")
    assert "refused" in err


def test_a_load_that_was_never_answered_says_what_came_instead(
    server: EchoServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    assert bench(server, str(tmp_path / "a.png")) == 1
    assert "no request was answered with 200; the first ended with 503" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--url", "ftp://there"], "is not an http or https URL"),
        (["--url", "127.0.0.1:8000"], "is not an http or https URL"),
        (["--find-rate"], "--limit MS"),
        (["--sizes", "big"], "WIDTHxHEIGHT"),
        (["--header", "secret"], "NAME:VALUE"),
        (["--rate", "0"], "above 0"),
        (["--rate", "1", "--find-rate"], "not allowed"),
    ],
)
def test_what_cannot_be_meant_is_a_misuse(line: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--url", "http://127.0.0.1:9", *line]) == 2
    assert message in capsys.readouterr().err
