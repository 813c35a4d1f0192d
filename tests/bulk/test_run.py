from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.bulk.fakes import FakePool
from tests.bulk.runs import contents, make_images, run
from virtual_codec.bulk import BulkPolicy, Shard, open_storage
from virtual_codec.errors import BadOption, NoWorker
from virtual_codec.serving import Pool

RESERVED = ".vcodec-bulk"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def test_every_image_has_its_output_under_its_own_name(source: Path, target: Path) -> None:
    outputs = make_images(source, 7)
    (source / "notes.txt").write_text("no image")
    totals = run(source, target)
    assert contents(target) == outputs
    assert (totals.done, totals.kept, totals.failed) == (7, 0, 0)
    assert totals.pixels == 7 * 4 * 8


def test_a_second_run_does_nothing_again(source: Path, target: Path) -> None:
    make_images(source, 5)
    run(source, target)
    pool = FakePool()
    totals = run(source, target, pool)
    assert not pool.jobs
    assert (totals.done, totals.kept) == (0, 5)


def test_new_and_changed_sources_are_converted_and_touched_ones_are_not(source: Path, target: Path) -> None:
    outputs = make_images(source, 4)
    run(source, target)
    os.utime(source / "001.png", ns=(1, 1))
    changed = make_images(source / "other", 1, width=9)["deep/000.jpg"]
    (source / "other/deep/000.png").rename(source / "002.png")
    outputs["002.jpg"] = changed
    pool = FakePool()
    run(source, target, pool)
    assert [job.data[::-1] for job in pool.jobs] == [changed]
    assert contents(target) == outputs
    assert run(source, target).kept == 4


def test_one_bad_image_leaves_the_others_done_and_is_reported_and_tried_again(source: Path, target: Path) -> None:
    outputs = make_images(source, 4)
    bad = make_images(source / "bad", 1, width=13)
    (source / "torn.png").write_bytes(b"\x89PNG")
    assert run(source, target).failed == 2
    assert contents(target) == outputs
    report = [json.loads(line) for line in (target / RESERVED / "failures.jsonl").read_text().splitlines()]
    assert [(line["source"], line["code"]) for line in report] == [
        ("bad/deep/000.png", "undecodable_image"),
        ("torn.png", "unsupported_format"),
    ]
    make_images(source / "bad", 1)
    (source / "torn.png").unlink()
    assert run(source, target).failed == 0
    assert (target / RESERVED / "failures.jsonl").read_bytes() == b""
    assert len(contents(target)) == len(outputs) + len(bad)


def test_a_file_that_no_run_wrote_is_never_replaced(source: Path, target: Path) -> None:
    make_images(source, 3)
    target.mkdir()
    (target / "001.jpg").write_text("mine")
    for _ in range(2):
        assert run(source, target).failed == 1
        assert (target / "001.jpg").read_text() == "mine"
    assert "exists and is not of a bulk run" in (target / RESERVED / "failures.jsonl").read_text()


def test_an_output_that_was_begun_and_not_recorded_is_made_again(source: Path, target: Path) -> None:
    outputs = make_images(source, 3)
    run(source, target)
    (log,) = (target / RESERVED / "manifest").iterdir()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # killed in the middle of a line
    totals = run(source, target)
    assert (totals.done, totals.kept) == (1, 2)
    assert contents(target) == outputs


@pytest.mark.parametrize("name", ["notes.jsonl", "00000002-é.jsonl", "²-ab.jsonl"])
def test_a_file_among_the_logs_that_is_none_is_named(source: Path, target: Path, name: str) -> None:
    make_images(source, 2)
    run(source, target)
    (target / RESERVED / "manifest" / name).write_text("shopping list\n")
    with pytest.raises(BadOption, match=f"{name} is not a manifest of a bulk run; move it away"):
        run(source, target)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        '{"source": "a"}',
        '{"event": "done", "source": "a"}',
        '{"event": "begun", "source": 1, "output": "b", "version": "", "source_bytes": 3}',
        '{"event": "begun", "source": "a", "output": "b", "version": "", "source_bytes": "3"}',
    ],
)
def test_a_line_of_another_kind_is_no_manifest(source: Path, target: Path, line: str) -> None:
    make_images(source, 2)
    run(source, target)
    (target / RESERVED / "manifest" / "00000002-ab.jsonl").write_text(line + "\n")
    with pytest.raises(BadOption, match="is not a manifest of a bulk run; move it away"):
        run(source, target)


def test_verification_finds_what_is_missing_or_altered(source: Path, target: Path) -> None:
    outputs = make_images(source, 4)
    run(source, target)
    (target / "001.jpg").unlink()
    (target / "002.jpg").write_text("altered")
    assert run(source, target).done == 0
    assert run(source, target, verifies=True).done == 2
    assert contents(target) == outputs


def test_shards_share_a_source_without_overlap(source: Path, target: Path) -> None:
    outputs = make_images(source, 12)
    done = [run(source, target, shard=Shard(index=index, count=3)).done for index in range(3)]
    assert sum(done) == 12
    assert max(done) < 12
    assert contents(target) == outputs
    assert run(source, target).kept == 12


def test_sources_are_held_in_memory_up_to_a_limit_only(source: Path, target: Path) -> None:
    outputs = make_images(source, 6)
    largest = max(path.stat().st_size for path in source.rglob("*.png"))
    run(source, target, policy=BulkPolicy(parallel=4, max_held_bytes=1))
    assert contents(target) == outputs
    (target.parent / "other").mkdir()
    totals = run(source, target.parent / "other", policy=BulkPolicy(max_source_bytes=largest - 1))
    assert totals.failed >= 1


def test_without_workers_the_run_ends_and_nothing_counts_as_failed(source: Path, target: Path) -> None:
    outputs = make_images(source, 3)
    pool = FakePool(is_dead=True)
    checked: Pool = pool
    with pytest.raises(NoWorker, match="damaged"):
        run(source, target, checked)
    assert pool.is_stopped
    assert contents(target) == {}
    assert run(source, target).done == 3
    assert contents(target) == outputs


def test_a_run_with_other_options_or_another_source_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    make_images(source, 1)
    run(source, target)
    with pytest.raises(BadOption, match="give the same options"):
        run(source, target, quality=60)
    make_images(tmp_path / "elsewhere", 1)
    with pytest.raises(BadOption, match="run with source"):
        run(tmp_path / "elsewhere", target)


def test_two_sources_of_one_output_are_refused_before_anything_is_done(source: Path, target: Path) -> None:
    make_images(source, 1)
    (source / "deep/000.bmp").write_bytes(b"BM")
    with pytest.raises(BadOption, match=r"would both become deep/000\.jpg; --keep-suffix"):
        run(source, target, taken=frozenset({".png", ".bmp"}))
    assert not target.exists()
    run(source, target, taken=frozenset({".png", ".bmp"}), keep_suffix=True)
    assert "deep/000.png.jpg" in contents(target)


def test_a_second_run_at_the_same_time_is_refused(source: Path, target: Path) -> None:
    make_images(source, 1)
    with open_storage(str(target)).lock("lock-0-of-1"), pytest.raises(BadOption, match="another run writes"):
        run(source, target)


def test_a_destination_inside_the_source_is_no_source(source: Path) -> None:
    make_images(source, 3)
    taken = frozenset({".png", ".jpg"})
    assert run(source, source / "out", taken=taken).done == 3
    assert run(source, source / "out", taken=taken).kept == 3
    with pytest.raises(BadOption, match="contains the source"):
        run(source, source.parent)


def test_a_source_without_images_is_refused(source: Path, target: Path) -> None:
    with pytest.raises(BadOption, match="no image in"):
        run(source, target)
    with pytest.raises(BadOption, match="there is no folder"):
        run(source / "missing", target)


def test_names_need_not_be_text(source: Path, target: Path) -> None:
    make_images(source, 1)
    name = os.fsdecode(b"caf\xe9.png")
    (source / "deep/000.png").rename(source / name)
    assert run(source, target).done == 1
    assert run(source, target).kept == 1
    assert (target / os.fsdecode(b"caf\xe9.jpg")).exists()


def test_a_url_that_nothing_reads_is_refused() -> None:
    with pytest.raises(BadOption, match=r"virtual-codec\[bulk\]"):
        open_storage("nosuch://bucket/folder")
    with pytest.raises(BadOption, match="as a path"):
        open_storage("file:///folder")
