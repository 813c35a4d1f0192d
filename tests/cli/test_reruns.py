"""Options for runs over folders that are partly done."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.fakes import PrefixCodec, make, run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def codec() -> PrefixCodec:
    return PrefixCodec()


def test_the_last_operand_is_the_output(codec: PrefixCodec) -> None:
    make(a_png="one", b_png="two")
    assert run(codec, "compress a.png c.jpg") == 0
    assert Path("c.jpg").read_text() == "stream of one"
    assert run(codec, "compress a.png b.png out") == 0
    assert sorted(it.name for it in Path("out").iterdir()) == ["a.jpg", "b.jpg"]
    assert run(codec, "decompress c.jpg c.png") == 0


def test_one_operand_alone_has_no_output(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_png="one")
    assert run(codec, "compress a.png") == 2
    assert "the output is missing; give a second name, or -o OUT" in capsys.readouterr().err


def test_inputs_without_an_output_do_not_replace_one_another(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    make(a_png="one", b_png="two", c_png="three")
    assert run(codec, "compress a.png b.png") == 2
    assert run(codec, "compress a.png b.png c.png --force") == 2
    assert (Path("b.png").read_text(), Path("c.png").read_text()) == ("two", "three")


def test_the_short_option_for_quality(codec: PrefixCodec) -> None:
    make(a_png="one")
    assert run(codec, "compress a.png b.jpg -q 30") == 0
    assert codec.compress_options[0].quality == 30


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("20000", 20_000), ("20k", 20_000), ("1.5M", 1_500_000), ("64Ki", 65_536), ("2kB", 2000)]
)
def test_sizes_have_units(codec: PrefixCodec, text: str, size_bytes: int) -> None:
    make(a_png="one")
    assert run(codec, f"compress a.png b.jpg --max-bytes {text}") == 0
    assert codec.compress_options[0].max_bytes == size_bytes


def test_a_size_that_is_none_is_a_misuse(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_png="one")
    assert run(codec, "compress a.png b.jpg --max-bytes 20q") == 2
    assert "max-bytes must be a whole number" in capsys.readouterr().err


def test_a_rerun_skips_what_exists_and_opens_no_codec(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(in__a_png="one", in__b_png="two")
    assert run(codec, "compress in out/ --skip-existing") == 0
    assert len(codec.configs) == 1
    assert run(codec, "compress in out/ --skip-existing") == 0
    assert len(codec.configs) == 1
    assert "0 done, 2 skipped, 0 failed" in capsys.readouterr().err
    make(in__c_png="three")
    assert run(codec, "compress in out/ --skip-existing --json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("skipped") for line in lines] == ["the output exists", "the output exists", None]


def test_newer_inputs_replace_their_outputs(codec: PrefixCodec) -> None:
    make(in__a_png="one", in__b_png="two")
    assert run(codec, "compress in out/ --newer --keep-times") == 0
    assert run(codec, "compress in out/ --newer") == 0
    assert len(codec.compress_options) == 2
    make(in__b_png="new")
    os.utime("in/b.png", ns=(2**62, 2**62))
    assert run(codec, "compress in out/ --newer") == 0
    assert len(codec.compress_options) == 3
    assert Path("out/b.jpg").read_text() == "stream of new"


def test_newer_never_replaces_an_input(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_jpg="one")
    assert run(codec, "compress a.jpg -o a.jpg --newer") == 2
    assert "which is the same file" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_writes_nothing(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(in__a_png="one", in__b_png="two", out__b_jpg="mine")
    assert run(codec, "compress in out --dry-run") == 1
    out, err = capsys.readouterr()
    assert out == "in/a.png -> out/a.jpg\n"
    assert "in/b.png: out/b.jpg exists; --force replaces it" in err
    assert run(codec, "compress in out --dry-run --skip-existing") == 0
    assert not codec.configs
    assert [it.name for it in Path("out").iterdir()] == ["b.jpg"]


def test_outputs_have_the_permissions_of_their_inputs_and_their_times_on_request(codec: PrefixCodec) -> None:
    make(a_png="one")
    Path("a.png").chmod(0o640)
    os.utime("a.png", (1_000_000, 1_000_000))
    assert run(codec, "compress a.png b.jpg") == 0
    assert Path("b.jpg").stat().st_mode & 0o777 == 0o640
    assert Path("b.jpg").stat().st_mtime > 1_000_000
    assert run(codec, "compress a.png b.jpg --force --keep-times") == 0
    assert Path("b.jpg").stat().st_mtime == 1_000_000


def test_an_output_that_is_larger_is_said(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_png="one")
    assert run(codec, "compress a.png b.jpg") == 0
    out, err = capsys.readouterr()
    assert "3 B -> 13 B (larger)" in out
    assert err.startswith("vcodec: 1 output is larger than its input; --if-larger skip leaves them out")


def test_larger_outputs_are_left_out_on_request(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_png="one")
    assert run(codec, "compress a.png b.jpg --if-larger skip") == 0
    assert not Path("b.jpg").exists()
    assert "1 skipped" in capsys.readouterr().err


def test_the_input_is_copied_instead_of_a_larger_output(codec: PrefixCodec) -> None:
    make(in__a_png="one", in__b_png="two")
    assert run(codec, "compress in out --if-larger copy") == 0
    assert {it.name: it.read_text() for it in Path("out").iterdir()} == {"a.png": "one", "b.png": "two"}
    assert run(codec, "compress in out --if-larger copy --skip-existing") == 0
    assert len(codec.compress_options) == 2


def test_a_copy_never_replaces_an_input(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(sub__a_png="one", out__a_png="two")
    assert run(codec, "compress sub out/a.png -o out --if-larger copy --force --keep-suffix") == 2
    assert Path("out/a.png").read_text() == "two"
    make(b_png="three")
    assert run(codec, "compress b.png -o ./ --if-larger copy --force") == 0
    assert Path("b.png").read_text() == "three"


def test_what_is_left_out_is_said_once_with_the_option_that_keeps_it(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    make(in__a_png="a" * 50, in__b_png="b" * 50)
    codec.left_out = ("exif", "transparency")
    assert run(codec, "compress in out") == 0
    assert capsys.readouterr().err.splitlines()[-2] == (
        "vcodec: left out: EXIF of 2 images (--metadata exif or all keeps it), "
        "transparency of 2 images (--background sets the colour behind it)"
    )
    codec.left_out = ("location",)
    assert run(codec, "compress in/a.png b.jpg --metadata exif --json") == 0
    assert codec.compress_options[-1].metadata == "exif"
    out, err = capsys.readouterr()
    assert json.loads(out)["left_out"] == ["location"]
    assert err.splitlines()[-1] == "vcodec: left out: location of 1 image (--metadata all keeps it)"
    assert run(codec, "compress in out --force --quiet") == 0
    assert capsys.readouterr().err == ""
    codec.left_out = ()
    assert run(codec, "compress in out --force") == 0
    assert "left out:" not in capsys.readouterr().err
