"""`vcodec keys` makes keys that the service takes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from virtual_codec.cli import main
from virtual_codec.keys import KeyRing, parse_entry


def test_a_key_is_shown_once_with_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "alice", "--requests", "60/minute"]) == 0
    (_, secret), (_, entry) = (line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    found = KeyRing([parse_entry(entry)]).find(secret)
    assert found is not None
    assert (found.id, found.requests) == ("alice", "60/minute")


def test_keys_gather_in_a_file_that_only_its_owner_reads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    made = []
    for name in ("alice", "bob"):
        assert main(["keys", "new", name, "--file", str(file), "--json"]) == 0
        made.append(json.loads(capsys.readouterr().out))
        file.write_text(file.read_text().rstrip("\n"))  # as an editor may leave it
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ring = KeyRing([], file)
    assert [key.id for it in made if (key := ring.find(it["key"])) is not None] == ["alice", "bob"]
    assert not any(it["key"] in file.read_text() for it in made)
    assert main(["keys", "list", "--file", str(file)]) == 0
    assert capsys.readouterr().out.split() == ["alice", "bob"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("al/ice", "an ID is 1 to 64 letters, digits, . _ or -, the first a letter or digit; got 'al/ice'"),
        ("carol --requests many", "is a rate such as"),
        ("taken", "another ID such as taken-2, have the caller change over, and delete the line of the first"),
    ],
)
def test_what_cannot_be_made_is_a_misuse_and_leaves_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: str, complaint: str
) -> None:
    file = tmp_path / "keys"
    main(["keys", "new", "taken", "--file", str(file)])
    before = file.read_text()
    capsys.readouterr()
    assert main(["keys", "new", *arguments.split(), "--file", str(file)]) == 2
    assert complaint in capsys.readouterr().err
    assert file.read_text() == before
