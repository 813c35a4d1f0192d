from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.fakes import PrefixCodec, make, run
from virtual_codec.cli import _convert, _report


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def codec() -> PrefixCodec:
    return PrefixCodec()


def test_an_image_becomes_a_stream_and_the_stream_an_image(codec: PrefixCodec) -> None:
    make(a_png="pixels")
    assert run(codec, "compress a.png -o b.jpg") == 0
    assert Path("b.jpg").read_text() == "stream of pixels"
    assert run(codec, "decompress b.jpg -o b.png") == 0
    assert Path("b.png").read_text() == "image of stream of pixels"


@pytest.mark.parametrize(
    ("output", "chosen"),
    [("b.avif", "avif"), ("b.WEBP", "webp"), ("b.jp2", "jpeg2000"), ("b.jpeg", "jpeg"), ("b", "jpeg")],
)
def test_the_suffix_of_the_output_names_the_codec(codec: PrefixCodec, output: str, chosen: str) -> None:
    make(a_png="pixels")
    assert run(codec, f"compress a.png -o {output}") == 0
    assert [options.codec for options in codec.compress_options] == [chosen]
    assert run(codec, "compress a.png -o folder/ --codec avif") == 0
    assert Path("folder/a.avif").exists()
    assert codec.compress_options[-1].codec == "avif"


def test_a_suffix_of_another_codec_is_a_misuse(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_png="pixels")
    assert run(codec, "compress a.png -o b.jpg --codec avif") == 2
    assert "b.jpg ends in .jpg, but the output format is .avif" in capsys.readouterr().err


def test_options_reach_the_codec(codec: PrefixCodec) -> None:
    make(a_png="pixels")
    options = "--min-psnr 31.5 --effort 7 --scale 1 --model small --background 00ff7F --device cpu --quiet"
    assert run(codec, f"compress a.png -o b.jpg {options}") == 0
    (used,) = codec.compress_options
    assert (used.min_psnr, used.effort, used.scale, used.model) == (31.5, 7, 1, "small")
    assert used.background == (0, 255, 127)
    (config,) = codec.configs
    assert (config.options, config.device, config.model_store) == (used, "cpu", None)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--quality 0", "quality must be a whole number from 1 to 100"),
        ("--quality fine", "quality must be a whole number"),
        ("--quality 50 --max-bytes 100", "at most one of"),
        ("--scale 3", "scale must be"),
        ("--background red", "rrggbb"),
        ("--min-psnr nan", "min-psnr must be a number above 0"),
        ("--qual 50", "unrecognized: --qual; `vcodec compress --help` lists the options"),
        ("--quality 5 --max-bytes 9", "at most one of quality, max-bytes"),
        ("--requests 0", "at least 1"),
        ("--json -o -", "cannot both write to stdout"),
    ],
)
def test_a_wrong_option_is_a_misuse_and_nothing_is_done(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str], options: str, complaint: str
) -> None:
    make(a_png="pixels")
    assert run(codec, f"compress a.png -o b.jpg {options}") == 2
    assert complaint in capsys.readouterr().err
    assert not codec.configs
    assert not Path("b.jpg").exists()


@pytest.mark.parametrize("at_once", [1, 3])
def test_one_corrupt_file_leaves_the_others_done_and_is_named(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(_convert, "_images_at_once", lambda _arguments: at_once)
    make(in__a_png="one", in__b_png="bad", in__c_png="bug", in__deep__d_png="four")
    assert run(codec, "compress in -o out") == 1
    done = sorted(path.as_posix() for path in Path("out").rglob("*") if path.is_file())
    assert done == ["out/a.jpg", "out/deep/d.jpg"]
    out, err = capsys.readouterr()
    assert "vcodec: in/b.png: the image is truncated; send it whole" in err
    assert "vcodec: in/c.png: ZeroDivisionError: division by zero" in err
    assert "2 done, 2 failed" in err
    assert len(out.splitlines()) == 2


def test_a_missing_file_fails_by_itself(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_png="one")
    assert run(codec, "compress a.png missing.png -o out") == 1
    assert "vcodec: missing.png: No such file or directory\n" in capsys.readouterr().err
    assert Path("out/a.jpg").exists()


def test_an_output_that_cannot_be_written_is_named(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(a_png="one", b_png="two")
    assert run(codec, "compress a.png -o b.png/c.jpg") == 1
    assert capsys.readouterr().err == "vcodec: a.png: cannot write b.png/c.jpg: b.png is not a folder\n"


def test_inputs_may_stand_behind_the_options(codec: PrefixCodec) -> None:
    make(a_png="one", b_png="two")
    assert run(codec, "compress a.png -o out --quality 5 b.png") == 0
    assert sorted(it.name for it in Path("out").iterdir()) == ["a.jpg", "b.jpg"]


def test_an_existing_file_is_left_alone_and_the_rest_done(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    make(a_png="one", b_png="two", out__a_jpg="mine")
    assert run(codec, "compress a.png b.png -o out") == 1
    assert Path("out/a.jpg").read_text() == "mine"
    assert Path("out/b.jpg").read_text() == "stream of two"
    assert "a.png: out/a.jpg exists; --force replaces it" in capsys.readouterr().err
    assert len(codec.compress_options) == 1
    assert run(codec, "compress a.png b.png -o out --force") == 0
    assert Path("out/a.jpg").read_text() == "stream of one"


def test_an_input_is_never_overwritten_by_what_it_becomes(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    make(a_jpg="photo")
    assert run(codec, "compress a.jpg -o a.jpg") == 1
    assert run(codec, "compress a.jpg -o .") == 1
    assert capsys.readouterr().err.count("a.jpg is the input itself; choose another output\n") == 2
    assert run(codec, "compress a.jpg -o a.jpg --force") == 2
    assert Path("a.jpg").read_text() == "photo"


def test_two_inputs_of_one_output_are_refused_before_anything_is_done(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    make(a_png="one", a_bmp="two", b_png="three")
    assert run(codec, "compress b.png a.png a.bmp -o out") == 2
    assert "a.png and a.bmp would both become out/a.jpg" in capsys.readouterr().err
    assert not Path("out").exists()
    assert not codec.configs


def test_json_is_one_line_a_file(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(in__a_png="one", in__b_png="bad")
    assert run(codec, "compress in -o out --json --min-psnr 31") == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.pop("seconds") >= 0
    assert first == {
        "input": "in/a.png",
        "output": "out/a.jpg",
        "input_bytes": 3,
        "output_bytes": 13,
        "width": 8,
        "height": 4,
        "rate_bpp": 3.25,
        "quality": 50,
        "scale": 2,
        "model": "0a1b2c3d",
        "psnr_db": 31.25,
        "ms_ssim": None,
    }
    assert second["error"] == {"code": "undecodable_image", "detail": "the image is truncated; send it whole"}


def test_quiet_says_nothing_but_problems(codec: PrefixCodec, capsys: pytest.CaptureFixture[str]) -> None:
    make(in__a_png="one", in__b_png="bad")
    assert run(codec, "compress in -o out --quiet") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "vcodec: in/b.png: the image is truncated; send it whole\n"


def test_a_bar_shows_only_when_it_is_asked_for_or_on_a_terminal(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    make(in__a_png="one", in__b_png="two")
    assert run(codec, "compress in -o out") == 0
    assert "2/2" not in capsys.readouterr().err
    assert run(codec, "compress in -o out2 --progress") == 0
    assert "2/2" in capsys.readouterr().err


def test_a_single_image_has_a_bar_of_its_tiles_once_it_takes_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_report, "_BAR_DELAY_S", 0.0)
    make(a_png="one")
    assert run(PrefixCodec(tiles=12), "compress a.png -o b.jpg --progress") == 0
    shown = capsys.readouterr()
    assert "/12 " in shown.err
    assert "tile" in shown.err
    assert "a.png -> b.jpg" in shown.out
    monkeypatch.setattr(_report, "_BAR_DELAY_S", 60.0)
    assert run(PrefixCodec(tiles=12), "compress a.png -o b.jpg --force --progress") == 0
    assert "/12 " not in capsys.readouterr().err  # it was done at once


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ("-o b.png", "png"),
        ("-o b.webp", "webp"),
        ("-o b.bmp", "bmp"),
        ("-o b", "png"),
        ("-o b --format bmp", "bmp"),
        ("-o b.BMP --format bmp", "bmp"),
        ("-o b.webp/", "png"),
    ],
)
def test_the_format_follows_the_suffix_of_the_output(codec: PrefixCodec, arguments: str, output: str) -> None:
    make(a_jpg="stream")
    assert run(codec, f"decompress a.jpg {arguments}") == 0
    assert [options.output for options in codec.restore_options] == [output]


@pytest.mark.parametrize("arguments", ["-o b.jpg", "-o b.gif", "-o b.bmp --format png", "-o b.png --format webp"])
def test_a_suffix_that_says_another_format_is_a_misuse(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    make(a_jpg="stream")
    assert run(codec, f"decompress a.jpg {arguments}") == 2
    assert "; name it b." in capsys.readouterr().err
    assert not codec.configs
    assert [it.name for it in Path().iterdir()] == ["a.jpg"]


def test_inputs_that_differ_by_their_suffix_keep_it_on_request(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    make(in__a_png="one", in__a_bmp="two")
    assert run(codec, "compress in -o out") == 2
    assert "--keep-suffix" in capsys.readouterr().err
    assert run(codec, "compress in -o out --keep-suffix") == 0
    assert run(codec, "decompress out -o back --keep-suffix") == 0
    assert sorted(it.name for it in Path("back").iterdir()) == ["a.bmp.jpg.png", "a.png.jpg.png"]


def test_a_codec_is_closed_when_its_work_is_done(codec: PrefixCodec) -> None:
    make(a_png="^C")
    assert run(codec, "compress a.png -o b.jpg") == 130
    assert codec.is_closed


def test_a_folder_of_streams_takes_the_suffix_of_the_format(codec: PrefixCodec) -> None:
    make(in__a_jpg="stream", in__b_JPEG="stream", in__c_png="no stream")
    assert run(codec, "decompress in -o out --format webp") == 0
    assert sorted(it.name for it in Path("out").iterdir()) == ["a.webp", "b.webp"]


def test_standard_streams_carry_one_image(
    codec: PrefixCodec, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"pixels")))
    assert run(codec, "compress - -o -") == 0
    out, err = capfdbinary.readouterr()
    assert out == b"stream of pixels"
    assert err.startswith(b"- -> -: 6 B -> 16 B")


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_interrupt_leaves_whole_files_only(
    codec: PrefixCodec, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(_convert, "_images_at_once", lambda _arguments: at_once)
    make(in__a_png="one", in__b_png="^C", in__c_png="three")
    assert run(codec, "compress in -o out") == 130
    assert capsys.readouterr().err.endswith("vcodec: interrupted\n")
    assert Path("out/a.jpg").read_text() == "stream of one"
    assert all(path.suffix == ".jpg" for path in Path("out").iterdir())


def test_several_threads_do_all_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_convert, "_images_at_once", lambda _arguments: 4)
    codec = PrefixCodec(delay_s=0.01)
    for number in range(12):
        make(**{f"in__{number}_png": str(number)})
    assert run(codec, "compress in -o out --quiet") == 0
    assert {it.read_text() for it in Path("out").iterdir()} == {f"stream of {number}" for number in range(12)}
