"""Scripts that complete the command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from virtual_codec.cli import VERBS, main

pytest.importorskip("shtab")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_names_every_verb_and_is_one_that_the_shell_reads(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(verb in script for verb in VERBS)
    assert "--if-larger" in script or "if-larger" in script
    program = shutil.which(shell)
    if program is not None:
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", tmp_path / "script"], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("vcodec comp", ["compress", "compare", "completion"]),
        ("vcodec compress --if-larger ", ["warn", "skip", "copy"]),
        ("vcodec compress --keep", ["--keep-times", "--keep-suffix"]),
        ("vcodec decompress pict", ["picture.jpg"]),
    ],
)
def test_bash_completes(line: str, completed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "picture.jpg").touch()
    words = line.split(" ")
    script = f"""{capsys.readouterr().out}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
$(complete -p vcodec | sed 's/.*-F \\([^ ]*\\) .*/\\1/') vcodec '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash"], input=script, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(completed)


def test_without_shtab_the_extra_is_named() -> None:
    code = "import sys; sys.modules['shtab'] = None; from virtual_codec import cli; cli.main(['completion', 'zsh'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "vcodec: completion needs shtab; run `pip install 'virtual-codec[completion]'`\n"
