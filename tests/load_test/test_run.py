"""Loads on a clock that only the requests move: one client, so that nothing depends on threads."""

from __future__ import annotations

from typing import final

import pytest

from virtual_codec.load_test import Answer, LoadProfile, Report, Request, run_load_test

ONE = Request(path="/compress", content=b"one", label="one", pixels=1_000_000)
TWO = Request(path="/compress", content=b"two", label="two", pixels=3_000_000)


@final
class VirtualClock:
    def __init__(self) -> None:
        self.time_s = 1000.0

    def now(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds


@final
class SlowSender:
    """Takes `seconds` of the clock for every request; the warm-up, the first, is not counted."""

    def __init__(self, clock: VirtualClock, seconds: float, status: str = "200") -> None:
        self.clock = clock
        self.seconds = seconds
        self.status = status
        self.sent: list[str] = []

    def send(self, request: Request) -> Answer:
        self.clock.sleep(self.seconds)
        self.sent.append(request.label)
        return Answer(status=self.status, content=b"12345")


def run(load: LoadProfile, seconds: float, status: str = "200") -> tuple[Report, SlowSender]:
    clock = VirtualClock()
    sender = SlowSender(clock, seconds, status)
    return run_load_test(load, sender, clock=clock), sender


def test_a_closed_loop_asks_again_when_it_has_its_answer() -> None:
    report, sender = run(LoadProfile(requests=[ONE, TWO], clients=1, seconds=10), 2.0)
    assert sender.sent == ["one", "one", "two", "one", "two", "one"]
    assert report.seconds == 10
    assert report.images_per_s == 0.5
    assert report.megapixels_per_s == pytest.approx((3 * 1 + 2 * 3) / 10)
    assert {sample.latency_s for sample in report.samples} == {2.0}
    assert {sample.lateness_s for sample in report.samples} == {0.0}


def test_latencies_of_an_open_loop_count_from_when_each_request_was_due() -> None:
    report, _ = run(LoadProfile(requests=[ONE], clients=1, seconds=5, rate_per_s=1, arrivals="constant"), 3.0)
    assert [sample.due_s for sample in report.samples] == [0, 1, 2, 3, 4]
    assert [sample.sent_s for sample in report.samples] == [0, 3, 6, 9, 12]
    assert [sample.lateness_s for sample in report.samples] == [0, 2, 4, 6, 8]
    assert [sample.latency_s for sample in report.samples] == [3, 5, 7, 9, 11]  # not 3 each
    assert report.latency_ms(100) == 11_000
    assert report.lateness_ms(50) == 4_000


def test_an_open_loop_waits_for_the_time_of_a_request() -> None:
    report, _ = run(LoadProfile(requests=[ONE], clients=1, seconds=4, rate_per_s=0.5, arrivals="constant"), 0.5)
    assert [(sample.due_s, sample.sent_s, sample.finished_s) for sample in report.samples] == [(0, 0, 0.5), (2, 2, 2.5)]


def test_throughput_of_an_open_loop_is_what_was_answered_while_requests_arrived() -> None:
    load = LoadProfile(requests=[ONE], clients=1, seconds=6, rate_per_s=1, arrivals="constant", limit_s=4)
    report, _ = run(load, 2.0)
    assert [sample.finished_s for sample in report.samples] == [2, 4, 6, 8, 10, 12]
    assert report.images_per_s == 0.5
    assert report.goodput_per_s == pytest.approx(3 / 6)  # latencies 2, 3, 4 within the limit, then 5 and more
    assert run(LoadProfile(**{**vars(load), "limit_s": 3}), 2.0)[0].goodput_per_s == pytest.approx(2 / 6)


def test_a_client_that_is_turned_away_waits_a_little() -> None:
    report, _ = run(LoadProfile(requests=[ONE], clients=1, seconds=1), 0.15, status="503")
    assert [sample.due_s for sample in report.samples] == pytest.approx([0, 0.25, 0.5, 0.75])
    assert report.statuses == {"503": 4}
    assert report.images_per_s == 0
    assert report.refusal_ms(99) == pytest.approx(150)


def test_exceptions_of_a_sender_are_not_swallowed() -> None:
    @final
    class Broken:
        def send(self, request: Request) -> Answer:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_load_test(LoadProfile(requests=[ONE], clients=2, seconds=1), Broken())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"requests": []}, "at least one request"),
        ({"clients": 0}, "clients and seconds"),
        ({"rate_per_s": 0.0}, "above 0"),
        ({"arrivals": "bursts"}, "poisson, constant"),
    ],
)
def test_a_load_that_is_none_says_why(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoadProfile(**{"requests": [ONE], **wrong})  # type: ignore[arg-type]
