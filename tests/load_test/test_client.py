from __future__ import annotations

import io
from contextlib import closing

import pytest
from PIL import Image

from tests.load_test.echo_server import EchoServer
from virtual_codec.load_test import (
    MIXED,
    Answer,
    HttpSender,
    LoadProfile,
    Request,
    parse_sizes,
    run_load_test,
    synthetic_png,
)


def test_a_load_counts_answers_times_and_pixels(server: EchoServer) -> None:
    request = Request(path="/compress?quality=30", content=b"ab")
    with closing(HttpSender(server.url)) as sender:
        report = run_load_test(LoadProfile(requests=[request], clients=3, seconds=0.2), sender)
    answers = len(report.answers)
    assert report.statuses == {"200": answers}
    assert len(server.seen) == answers + 3  # one a client was not measured
    assert server.seen[0] == ("/compress?quality=30", None, b"ab")
    assert report.megapixels_per_s == pytest.approx(0.5 * report.images_per_s)
    assert {sample.received_bytes for sample in report.samples} == {2}
    assert report.as_dict()["stages_ms"] == {"decode": 1.5, "queue": 0, "device": 4.5}
    assert 5 <= report.latency_ms(50) <= report.latency_ms(99)


def test_an_open_loop_sends_everything_that_was_due(server: EchoServer) -> None:
    load = LoadProfile(requests=[Request(path="/x", content=b"ab")], clients=64, seconds=0.5, rate_per_s=100)
    with closing(HttpSender(server.url)) as sender:
        report = run_load_test(load, sender)
    assert report.statuses == {"200": len(report.samples)}
    assert len(report.samples) > 20
    assert all(sample.lateness_s >= 0 and sample.latency_s >= 0.005 for sample in report.samples)


def test_connections_are_kept_and_shared(server: EchoServer) -> None:
    with closing(HttpSender(server.url)) as sender:
        answers = [sender.send(Request(path="/x", content=b"ab")) for _ in range(5)]
    assert [answer.content for answer in answers] == [b"ba"] * 5
    assert server.connections == 1


def test_a_failure_is_an_answer_and_the_next_request_works(server: EchoServer) -> None:
    with closing(HttpSender(server.url)) as sender:
        words = "Remote end closed connection without response"
        assert sender.send(Request(path="/x", content=b"die")) == Answer(status="RemoteDisconnected", failure=words)
        assert sender.send(Request(path="/x", content=b"ab")).status == "200"


def test_a_server_that_says_nothing_is_given_up(server: EchoServer) -> None:
    server.delay_s = 0.5
    sender = HttpSender(server.url, timeout_s=0.05)
    assert sender.send(Request(path="/x", content=b"ab")).status == "TimeoutError"


@pytest.mark.parametrize("url", ["ftp://there", "127.0.0.1:8000"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an http or https URL"):
        HttpSender(url)


def test_made_up_pictures_have_their_size_and_are_always_the_same() -> None:
    assert Image.open(io.BytesIO(synthetic_png(70, 33))).size == (70, 33)
    assert synthetic_png(70, 33) == synthetic_png(70, 33) != synthetic_png(70, 33, seed=1)


def test_sizes_are_read_or_mixed() -> None:
    assert parse_sizes("512x512, 70x33") == [(512, 512), (70, 33)]
    assert len(parse_sizes("mixed")) == len(MIXED)
    for wrong in ("512", "0x5", "512x512x3", ""):
        with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
            parse_sizes(wrong)
