"""A little of everything that `make fuzz` does for half an hour, always the same."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import urlencode

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from tests.fuzz import campaign, contract, options, sockets
from tests.fuzz.images_over_http import check_picture, post
from tests.fuzz.mutate import mutate
from tests.fuzz.seeds import seeds
from tests.fuzz.server import Served, serving
from tests.fuzz.targets import TARGETS, Finding, check

FOUND = Path(__file__).parent / "found"  # inputs that once broke something, named by target


@pytest.mark.parametrize("name", sorted(seeds()))
def test_a_seed_is_sound(name: str) -> None:
    assert check("image", seeds()[name]) is None


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_files_raise_no_unexpected_exception(target: str) -> None:
    random = Random(f"short {target}")
    for _ in range(300):
        data = mutate(random.choice(sorted(seeds().values())), random)
        assert check(target, data) is None, data.hex()


@pytest.mark.parametrize("file", sorted(FOUND.glob("*.bin")), ids=lambda file: file.name)
def test_fixed_findings_stay_fixed(file: Path) -> None:
    target = file.name.partition("-")[0]
    assert check(target, file.read_bytes()) is None


def test_the_guided_fuzzer_runs(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    report = campaign.fuzz_target("stream", 2, tmp_path, Random(0))
    assert report.startswith("Done "), (tmp_path / "stream.log").read_text(errors="replace")[-2000:]
    assert not list(tmp_path.glob("*-*"))


@given(options.OPTIONS)
def test_any_options_are_read_or_refused_by_name(wished: dict[str, str]) -> None:
    options.check(wished)


def test_options_are_tried_for_as_long_as_wanted() -> None:
    tried, fault = options.explore(0.1, Random(0))
    assert tried >= 100
    assert fault is None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), header_timeout_s=2) as running:
        yield running
        assert running.deaths() == 0
        assert running.is_well()


def test_broken_images_end_no_worker(served: Served) -> None:
    random = Random(1)
    with httpx2.Client(base_url=served.url, timeout=120) as client:
        statuses = {post(client, mutate(random.choice(sorted(seeds().values())), random), random) for _ in range(60)}
    assert statuses >= {200, 422}


def test_an_answer_with_another_picture_is_a_finding() -> None:
    def answer(size: str, content: bytes) -> httpx2.Response:
        return httpx2.Response(200, headers={"vcodec-size": size, "vcodec-scale": "2"}, content=content)

    picture = io.BytesIO()
    Image.new("L", (5, 4)).save(picture, "JPEG")
    check_picture(answer("9x8", picture.getvalue()), is_restoring=False)
    for size, content in (("11x8", picture.getvalue()), ("9x8", b""), ("9x8", seeds()["png"])):
        with pytest.raises((Finding, UnidentifiedImageError)):
            check_picture(answer(size, content), is_restoring=False)


def test_malformed_conversations_end_well(served: Served) -> None:
    random = Random(2)
    for _ in range(80):
        sockets.check_answers(sockets.converse(served.address, sockets.speech(random), random))


def test_the_contract_is_kept(served: Served) -> None:
    labels = list(contract.routes(served.url))
    assert {"POST /compress", "POST /decompress", "GET /healthz"} <= set(labels)
    for label in labels:
        assert contract.explore(served.url, label, 6)


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_query_is_answered(served: Served, query: list[tuple[str, str]]) -> None:
    response = httpx2.post(f"{served.url}/compress?{urlencode(query)}", content=seeds()["png"], timeout=60)
    assert response.status_code in (200, 404, 422)
