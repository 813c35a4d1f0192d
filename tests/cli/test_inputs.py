from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtual_codec.cli._files import Plan, plan
from virtual_codec.cli._verb import Misuse


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Run without root's right to read everything; the files made in the test belong to the same user."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(tmp_path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def planned(*inputs: str) -> Plan:
    return plan(inputs, "out", taken=frozenset({".png", ".jpg"}), suffixes=(".jpg",))


def sources(*inputs: str) -> list[str]:
    return [task.source.as_posix() for task in planned(*inputs).tasks]


EVERY_WAY = ["in", "in/**", "in/**/*.png", "i*"]


@pytest.mark.parametrize("way", EVERY_WAY)
def test_links_to_folders_are_not_followed(way: str) -> None:
    make("in/a.png", "in/deep/b.png")
    os.symlink("..", "in/deep/loop")
    assert sources(way) == ["in/a.png", "in/deep/b.png"]


@pytest.mark.parametrize("way", [*EVERY_WAY, "in/*"])
def test_hidden_files_and_folders_are_passed_over(way: str) -> None:
    make("in/a.png", "in/._a.png", "in/.thumbnails/a.png", "in/__MACOSX/b.png", "in/.hidden.png")
    assert sources(way) == ["in/a.png"]


@pytest.mark.parametrize("way", [*EVERY_WAY, "in/*", "in/*.png"])
def test_pipes_are_passed_over(way: str) -> None:
    make("in/a.png")
    os.mkfifo("in/x.png")
    assert sources(way) == ["in/a.png"]


def test_a_link_to_a_file_is_a_file() -> None:
    make("elsewhere/a.png")
    Path("in").mkdir()
    os.symlink("../elsewhere/a.png", "in/b.png")
    assert sources("in") == sources("in/*.png") == ["in/b.png"]


def test_a_glob_takes_images_or_the_suffix_that_it_names() -> None:
    make("in/a.png", "in/notes.txt", "in/b.raw")
    assert sources("in/*") == ["in/a.png"]
    assert sources("in/*.raw") == ["in/b.raw"]


def test_a_hidden_file_is_taken_when_it_is_named() -> None:
    make(".a.png", "in/.b.png")
    assert sources(".a.png") == [".a.png"]
    assert sources("in/.*.png") == ["in/.b.png"]


def test_brackets_of_a_name_are_literal_where_they_match_nothing_else() -> None:
    make("photos [2020]/a.png", "photos [2020]/[x] b.png", "c1.png")
    assert sources("photos [2020]/a*.png") == ["photos [2020]/a.png"]
    assert sources("photos [2020]/[x]*.png") == ["photos [2020]/[x] b.png"]
    assert sources("c[0-9].png") == ["c1.png"]


def test_a_file_that_several_inputs_name_is_converted_once() -> None:
    make("in/a.png")
    assert sources("in", "in/*.png") == ["in/a.png"]


@pytest.mark.usefixtures("unprivileged")
@pytest.mark.parametrize("way", ["in", "in/**/*.png", "in/*/*.png"])
def test_a_folder_that_cannot_be_listed_is_a_problem(way: str) -> None:
    make("in/closed/a.png", "in/open/b.png")
    Path("in/closed").chmod(0)
    found = planned(way)
    assert [task.source.as_posix() for task in found.tasks] == ["in/open/b.png"]
    assert [(it.path.as_posix(), it.reason) for it in found.unreadable] == [("in/closed", "Permission denied")]


def test_a_glob_without_a_match_is_a_misuse() -> None:
    make("in/a.png")
    with pytest.raises(Misuse, match=re.escape("no file matches in/*.gif")):
        planned("in/*.gif")
