"""Tests of the checker of fault injection: it takes no wrong answer for a right one."""

from __future__ import annotations

import io
import json
from typing import Final, final

import pytest
from PIL import Image

from benchmarks.reliability._check import OK, OVERLOADED, POISON, AllowedOutcomes, Checker
from benchmarks.reliability._report import failures, markdown
from benchmarks.reliability._scenarios import SCENARIOS, in_turn, with_poison
from benchmarks.reliability._soak import slope
from benchmarks.reliability.faulty import CRASH, marked
from tests.conftest import ROOT
from virtual_codec.load_test import Answer, Request, synthetic_png

RESULTS: Final = ROOT / "docs" / "reliability.json"
PICTURE: Final = Request(path="/compress", content=b"picture", label="compress")


@final
class Scripted:
    """Sender with prepared answers."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def send(self, request: Request) -> Answer:
        return self._answers.pop(0)


def refusal(status: str, code: str, *, without: str = "", **headers: str) -> Answer:
    members = dict.fromkeys(("type", "title", "status", "detail", "instance", "request_id"), "x") | {"code": code}
    members.pop(without, None)
    return Answer(status=status, content=json.dumps(members).encode(), headers={"retry-after": "1"} | headers)


def judged(answer: Answer, allowed: AllowedOutcomes) -> list[str]:
    checker = Checker(Scripted(Answer(status=OK, content=b"right"), answer), allowed)
    checker.learn([PICTURE])
    checker.send(PICTURE)
    return checker.lost


def test_right_bytes_and_allowed_refusals_are_not_lost() -> None:
    allowed = AllowedOutcomes(others=frozenset({OK, OVERLOADED}))
    assert judged(Answer(status=OK, content=b"right"), allowed) == []
    assert judged(refusal("503", "overloaded"), allowed) == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=OK, content=b"other"),
        Answer(status="RemoteDisconnected"),
        Answer(status="500", content=b"oops"),
        Answer(status="503", content=b"<html>"),
        refusal("500", "internal"),
        refusal("422", "poison_input"),
        refusal("503", "overloaded", without="request_id"),
        refusal("503", "overloaded", **{"retry-after": ""}),
    ],
)
def test_everything_else_is_lost(answer: Answer) -> None:
    assert len(judged(answer, AllowedOutcomes(others=frozenset({OK, OVERLOADED})))) == 1


def test_what_should_be_refused_is_lost_when_it_is_answered() -> None:
    allowed = AllowedOutcomes(by_label={"compress": frozenset({POISON})})
    assert judged(Answer(status=OK, content=b"right"), allowed) != []
    assert judged(refusal("422", "poison_input"), allowed) == []


def test_a_refusal_is_no_right_answer_to_learn() -> None:
    with pytest.raises(RuntimeError, match="503"):
        Checker(Scripted(refusal("503", "overloaded")), AllowedOutcomes()).learn([PICTURE])


def test_every_hundredth_request_is_a_poison_of_its_own() -> None:
    requests = with_poison(CRASH)([PICTURE], 400)
    poison = [it.content for it in requests if it.label == "poison"]
    assert len(poison) == len(set(poison)) == 4
    assert all(CRASH in content for content in poison)
    assert in_turn([PICTURE], 3) == [PICTURE] * 3


def test_a_marked_picture_is_the_same_picture() -> None:
    png = synthetic_png(8, 8)
    before, after = (Image.open(io.BytesIO(data)) for data in (png, marked(png, CRASH, 1)))
    assert after.tobytes() == before.tobytes()
    assert CRASH in marked(png, CRASH, 1)


def test_a_slope_is_in_percent_an_hour_with_its_error() -> None:
    hours = [at / 720 for at in range(720)]  # an hour, a sample every five seconds
    grows = slope(hours, [100.0 + 2 * at for at in hours])
    assert grows["percent_an_hour"] == pytest.approx(2 / 1.01, rel=0.01)
    assert grows["plus_minus"] == pytest.approx(0, abs=0.01)
    jumps = slope(hours, [100.0 + (number // 12) % 2 for number in range(720)])
    assert abs(jumps["percent_an_hour"]) < jumps["plus_minus"] < 1
    with pytest.raises(ValueError, match="five minutes"):
        slope(hours[:20], [1.0] * 20)


def test_answers_afterwards_are_compared_with_those_of_before() -> None:
    checker = Checker(
        Scripted(*(Answer(status=OK, content=it) for it in (b"right", b"right", b"other"))), AllowedOutcomes()
    )
    checker.learn([PICTURE])
    afterwards = checker.fresh_copy(AllowedOutcomes())
    for _ in range(2):
        afterwards.send(PICTURE)
    assert len(afterwards.lost) == 1
    assert checker.lost == []


def result_of_scenario(**changes: object) -> dict[str, object]:
    state = {"descriptors": {"server": 11, "workers": 12}}
    result = {"requests": 9, "lost": 0, "outcomes": {"compress: 200": 9}, "facts": {}, "before": state, "after": state}
    return result | changes


def wrong_with(name: str, **changes: object) -> list[str]:
    return failures({"scenarios": {name: result_of_scenario(**changes)}})


def test_a_scenario_whose_fault_did_not_happen_fails() -> None:
    happened: dict[str, dict[str, object]] = {
        "overload_2x": {"outcomes": {f"compress: {OVERLOADED}": 1}},
        "overload_10x": {"outcomes": {f"compress: {OVERLOADED}": 1}},
        "poison": {"outcomes": {f"poison: {POISON}": 1}},
        "kill_9": {"facts": {"workers killed": 1}},
        "freeze": {"facts": {"workers stopped": 1}},
        "clock_jump": {"facts": {"the server's clock": ["Sun, 22 Nov 2026 19:09:18", "Sat, 21 Nov 2026 19:09:29"]}},
        "out_of_memory": {"outcomes": {"poison: 503 unavailable": 1}},
        "vanishing_clients": {"facts": {"vanished": 8}},
        "slow_clients": {"facts": {"how they ended": {"a head: 408": 3, "a body: 408": 3, "reading: 200": 1}}},
    }
    absent: dict[str, dict[str, object]] = {
        "kill_9": {"facts": {"workers killed": 0}},
        "freeze": {"facts": {"workers stopped": 0}},
        "clock_jump": {"facts": {"the server's clock": ["Sun, 22 Nov 2026 19:09:18", "Sun, 22 Nov 2026 19:09:29"]}},
        "vanishing_clients": {"facts": {"vanished": 0}},
        "slow_clients": {"facts": {"how they ended": {"a head: 408": 3, "a body: sent": 3}}},
    }
    assert set(happened) == set(SCENARIOS) - {"full_disk"}
    for name, result in happened.items():
        assert wrong_with(name, **result) == []
        assert len(wrong_with(name, **absent.get(name, {}))) == 1, name


def test_leaked_resources_are_reported() -> None:
    assert wrong_with("full_disk") == []
    assert len(wrong_with("full_disk", lost_afterwards=1)) == 1
    assert len(wrong_with("full_disk", after={"descriptors": {"server": 99, "workers": 12}})) == 1
    assert len(wrong_with("repeat", wanted=10)) == 1


def test_a_bulk_run_that_loses_an_output_fails() -> None:
    counts = ("torn_at_kills", "missing", "differing", "others", "recorded_twice", "parts_left")
    right: dict[str, object] = {**dict.fromkeys(counts, 0), "written_again": 3}
    assert failures({"scenarios": {"bulk": right}}) == []
    for name in counts:
        (wrong,) = failures({"scenarios": {"bulk": right | {name: 2}}})
        assert wrong.startswith("bulk: 2 ")


def test_a_cluster_that_loses_a_request_fails_but_for_what_rays_proxy_loses() -> None:
    def rows(name: str, lost: int) -> dict[str, object]:
        return {"scenarios": {"cluster": {"rows": {name: {"lost": lost, "lost_first": ["500"]}}}}}

    assert failures(rows("--pool ray: kill_node", 0)) == []
    assert len(failures(rows("--pool ray: kill_node", 1))) == 1
    assert failures(rows("serve run: kill_api", 3)) == []


@pytest.mark.parametrize(("percent", "plus_minus", "is_wrong"), [(0.1, 0.2, False), (3, 0.5, True), (0, 20, True)])
def test_a_noisy_measurement_shows_no_flat_memory(percent: float, plus_minus: float, is_wrong: bool) -> None:
    memory = {"server": {"percent_an_hour": percent, "plus_minus": plus_minus}}
    assert bool(wrong_with("soak", memory=memory)) is is_wrong


def test_the_page_is_written_from_what_was_measured_and_nothing_was_lost() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert RESULTS.with_suffix(".md").read_text(encoding="utf-8") == markdown(found)
    assert set(SCENARIOS) <= set(found["scenarios"]) <= {*SCENARIOS, "bulk", "cluster", "repeat", "soak"}
    # Memory is on the page as it was found, and no merge can flatten it; lost requests and dead workers are mistakes.
    assert [it for it in failures(found) if "memory of the" not in it] == []
