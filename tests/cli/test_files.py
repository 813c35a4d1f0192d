from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from virtual_codec.cli._file_io import write
from virtual_codec.cli._files import plan
from virtual_codec.cli._verb import Misuse

PNG = frozenset({".png", ".jpg"})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def planned(*inputs: str, output: str, force: bool = False, keep_suffix: bool = False) -> Mapping[str, str]:
    tasks = plan(inputs, output, taken=PNG, suffixes=(".jpg", ".jpeg"), force=force, keep_suffix=keep_suffix).tasks
    return {task.source.as_posix(): task.target.as_posix() for task in tasks}


def test_one_file_goes_to_the_file_that_is_named() -> None:
    make("a.png")
    assert planned("a.png", output="b.jpg") == {"a.png": "b.jpg"}


@pytest.mark.parametrize("output", ["out/", "there"])
def test_one_file_goes_into_a_folder(output: str) -> None:
    make("in/a.png", "there/else.txt")
    assert planned("in/a.png", output=output) == {"in/a.png": f"{output.rstrip('/')}/a.jpg"}


def test_several_files_go_into_a_folder_that_need_not_exist() -> None:
    make("in/a.png", "b.png")
    assert planned("in/a.png", "b.png", output="out") == {"in/a.png": "out/a.jpg", "b.png": "out/b.jpg"}


def test_a_folder_keeps_its_shape_and_leaves_what_is_no_image() -> None:
    make("in/b.PNG", "in/deep/er/a.jpg", "in/notes.txt")
    assert planned("in", output="out") == {"in/b.PNG": "out/b.jpg", "in/deep/er/a.jpg": "out/deep/er/a.jpg"}


def test_what_an_earlier_run_left_inside_the_folder_is_not_taken_again() -> None:
    make("in/a.png", "in/out/a.jpg")
    assert planned("in", output="in/out") == {"in/a.png": "in/out/a.jpg"}


def test_globs_are_expanded_from_their_first_wildcard_on() -> None:
    make("in/a.png", "in/deep/b.png", "in/deep/er/c.png", "in/x.txt")
    assert planned("in/*.png", output="out") == {"in/a.png": "out/a.jpg"}
    assert planned("in/**/*.png", output="out") == {
        "in/a.png": "out/a.jpg",
        "in/deep/b.png": "out/deep/b.jpg",
        "in/deep/er/c.png": "out/deep/er/c.jpg",
    }
    assert planned("in/d*", output="out") == {
        "in/deep/b.png": "out/deep/b.jpg",
        "in/deep/er/c.png": "out/deep/er/c.jpg",
    }


def test_a_file_whose_name_looks_like_a_glob_is_that_file() -> None:
    make("a[1].png")
    assert planned("a[1].png", output="b.jpg") == {"a[1].png": "b.jpg"}


@pytest.mark.parametrize("inputs", [["*.gif"], ["empty"]])
def test_nothing_to_do_is_a_misuse(inputs: list[str]) -> None:
    make("empty/notes.txt")
    with pytest.raises(Misuse, match=r"no (file|image)"):
        planned(*inputs, output="out")


def test_two_inputs_of_one_output_are_refused_by_name() -> None:
    make("in/a.png", "in/a.jpg")
    with pytest.raises(Misuse, match=r"in/a\.jpg and in/a\.png would both become out/a\.jpg"):
        planned("in", output="out", force=True)


def test_two_ways_to_one_output_are_seen_through_links() -> None:
    make("1/a.png", "2/a.png")
    Path("out").mkdir()
    Path("1/b.png").write_text("")
    os.symlink(Path("out").resolve(), "link")
    with pytest.raises(Misuse, match="would both become"):
        planned("1/a.png", "2/a.png", output="link")


def test_several_inputs_do_not_fit_into_a_file() -> None:
    make("a.png", "b.png", "out")
    with pytest.raises(Misuse, match="out is a file"):
        planned("a.png", "b.png", output="out")


def test_an_output_never_replaces_another_input() -> None:
    make("sub/a.png", "out/a.jpg", "b.png")
    with pytest.raises(Misuse, match=r"sub/a\.png would replace out/a\.jpg, which is another input"):
        plan(["sub", "out/a.jpg"], "out", taken=frozenset({".png"}), suffixes=(".jpg",), force=True)


def test_an_input_is_never_its_own_output() -> None:
    make("a.jpg")
    with pytest.raises(Misuse, match=r"a\.jpg would replace a\.jpg, which is the same file; choose another output"):
        planned("a.jpg", output="a.jpg", force=True)
    with pytest.raises(Misuse, match="which is the same file"):
        planned(".", output="./", force=True)


@pytest.mark.parametrize("output", ["b.jpg", "b.JPEG", "b", "-", "new.png/", "there.png"])
def test_the_name_of_an_output_may_say_what_is_written(output: str) -> None:
    make("a.png", "there.png/else.txt")
    assert len(planned("a.png", output=output)) == 1


@pytest.mark.parametrize("inputs", ["a.png", "-"])
@pytest.mark.parametrize("output", ["b.png", "b.gif", "b.tiff"])
def test_the_name_of_an_output_never_says_another_format(inputs: str, output: str) -> None:
    make("a.png")
    suffix = output.removeprefix("b")
    with pytest.raises(Misuse, match=rf"{output} ends in \{suffix}, but the output format is \.jpg; name it b\.jpg"):
        planned(inputs, output=output)


@pytest.mark.parametrize("inputs", [["a.png", "b.png"], ["*.png"], ["in"]])
def test_the_name_of_an_image_is_none_for_a_folder(inputs: list[str]) -> None:
    make("a.png", "b.png", "in/a.png")
    for output in ("out.jpg", "out.gif"):
        with pytest.raises(Misuse, match=rf"{output} names one image; .* need an output folder"):
            planned(*inputs, output=output)
    assert planned(*inputs, output="out-1.5")
    assert planned(*inputs, output="out.jpg/")


def test_a_name_that_says_no_format_is_the_callers_own() -> None:
    assert planned("a.png", output="b.out") == {"a.png": "b.out"}


def test_inputs_that_differ_by_their_suffix_can_both_have_outputs() -> None:
    make("in/a.png", "in/a.jpg", "b.png")
    with pytest.raises(Misuse, match=r"--keep-suffix names them a\.jpg\.jpg and a\.png\.jpg"):
        planned("in", output="out")
    assert planned("in", output="out", keep_suffix=True) == {
        "in/a.jpg": "out/a.jpg.jpg",
        "in/a.png": "out/a.png.jpg",
    }
    assert planned("b.png", output="c.jpg", keep_suffix=True) == {"b.png": "c.jpg"}


def test_inputs_of_one_name_need_folders_of_their_own() -> None:
    make("1/a.png", "2/a.png")
    for keep_suffix in (False, True):
        with pytest.raises(Misuse, match="convert them in separate runs"):
            planned("1/a.png", "2/a.png", output="out", keep_suffix=keep_suffix)


def test_standard_streams_are_for_one_image() -> None:
    make("a.png", "b.png", "folder/a.png")
    assert planned("-", output="-") == {"-": "-"}
    assert planned("-", output="a.jpg") == {"-": "a.jpg"}
    assert planned("a.png", output="-") == {"a.png": "-"}
    for inputs, output in ((["-", "a.png"], "out"), (["folder"], "-"), (["-"], "folder"), (["-"], "new/")):
        with pytest.raises(Misuse, match='"-"'):
            planned(*inputs, output=output)


def test_a_file_appears_whole_with_its_folders_and_nothing_else() -> None:
    write(Path("new/deep/a.jpg"), b"stream")
    assert Path("new/deep/a.jpg").read_bytes() == b"stream"
    assert [it.name for it in Path("new/deep").iterdir()] == ["a.jpg"]


def test_a_file_is_not_taken_for_a_folder() -> None:
    make("a.png")
    with pytest.raises(NotADirectoryError, match=r"a\.png is not a folder"):
        write(Path("a.png/b.jpg"), b"stream", force=True)


def test_a_file_is_as_readable_as_the_umask_says() -> None:
    Path("plain").write_bytes(b"")
    write(Path("a.jpg"), b"stream")
    assert Path("a.jpg").stat().st_mode == Path("plain").stat().st_mode


def test_an_existing_file_stays_without_force() -> None:
    make("a.jpg")
    with pytest.raises(FileExistsError):
        write(Path("a.jpg"), b"stream")
    assert Path("a.jpg").read_text() == "a.jpg"
    write(Path("a.jpg"), b"stream", force=True)
    assert Path("a.jpg").read_bytes() == b"stream"
    assert len(list(Path().iterdir())) == 1


def test_of_many_writers_of_one_file_exactly_one_wins() -> None:
    outcomes: list[str] = []

    def attempt(text: str) -> None:
        try:
            write(Path("a.jpg"), text.encode() * 1000)
            outcomes.append(text)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=attempt, args=(text,)) for text in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert Path("a.jpg").read_text() == outcomes[0] * 1000
    assert len(list(Path().iterdir())) == 1


def test_a_device_is_written_to_and_never_replaced() -> None:
    before = Path("/dev/null").stat().st_rdev
    write(Path("/dev/null"), b"stream")
    write(Path("/dev/null"), b"stream", force=True)
    assert Path("/dev/null").stat().st_rdev == before


def test_a_link_is_replaced_not_what_it_points_at() -> None:
    make("original.png")
    os.symlink("original.png", "a.jpg")
    with pytest.raises(FileExistsError):
        write(Path("a.jpg"), b"stream")
    write(Path("a.jpg"), b"stream", force=True)
    assert Path("original.png").read_text() == "original.png"
