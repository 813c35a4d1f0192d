"""Keys are known by their digest, and a file of them may change while it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

import pytest

from virtual_codec.keys import Key, KeyRing, digest_of, new_key, parse_entry, read_keys

DIGEST = digest_of("secret").hex()


@final
class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, *keys: Key, text: str = "") -> Path:
    path.write_text("".join(f"{key.entry}\n" for key in keys) + text)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # a clock's step is longer than a test
    return path


def test_a_new_key_is_long_known_by_its_digest_and_never_kept() -> None:
    secret, key = new_key("alice", requests="60/minute;5000/day")
    assert len(secret) == len("vcodec_") + 43
    assert key.digest == digest_of(secret)
    assert secret not in repr(key) + key.entry
    assert parse_entry(key.entry) == key
    assert new_key("alice")[0] != secret


@pytest.mark.parametrize("wish", ["a b", "", "-a", "a:b", "a\n", "a" * 65])
def test_a_malformed_id_is_refused_with_the_right_form(wish: str) -> None:
    with pytest.raises(ValueError, match="an ID is 1 to 64 letters, digits"):
        new_key(wish)


@pytest.mark.parametrize(
    "entry",
    [
        "alice",
        f"alice:{DIGEST}",
        "alice:sha256:beef",
        f"al ice:sha256:{DIGEST}",
        f"-x:sha256:{DIGEST}",
        f"a:sha256:{DIGEST} requests=5",
        f"a:sha256:{DIGEST} requests=0/hour",
        f"a:sha256:{DIGEST} requests=5/hour requests=6/hour",
        f"a:sha256:{DIGEST} pixels=5/hour",
        f"a:sha256:{DIGEST} megapixels=5/fortnight",
    ],
)
def test_a_malformed_entry_is_refused_without_repeating_its_digest(entry: str) -> None:
    with pytest.raises(ValueError, match=r"key is|after the digest|is a rate") as caught:
        parse_entry(entry)
    assert DIGEST not in str(caught.value)


def test_a_file_has_comments_and_names_its_wrong_line(tmp_path: Path) -> None:
    path = write(tmp_path / "keys", text=f"# ours\n\n  a:sha256:{DIGEST} megapixels=unlimited\n")
    assert [(key.id, key.megapixels) for key in read_keys(path)] == [("a", "unlimited")]
    write(path, text=f"# ours\na:sha256:{DIGEST[1:]}\n")
    with pytest.raises(ValueError, match="keys, line 2"):
        read_keys(path)


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "b")])
def test_two_keys_are_never_mistaken_for_each_other(tmp_path: Path, first: str, second: str) -> None:
    one, other = new_key(first)[1], new_key(second)[1]
    if first != second:
        other = Key(id=second, digest=one.digest)
    with pytest.raises(ValueError, match=r"two keys a; to rotate|b has the digest of another"):
        KeyRing([one], write(tmp_path / "keys", other))


def test_keys_rotate_while_it_runs(tmp_path: Path) -> None:
    clock = Clock()
    (old_secret, old), (new_secret, new) = new_key("old"), new_key("new")
    path = write(tmp_path / "keys", old)
    ring = KeyRing([], path, clock=clock)
    assert ring.find(old_secret) == old
    assert ring.find(new_secret) is None
    write(path, old, new)
    clock.now = 1.1
    assert ring.find(new_secret) == new, "both, for as long as callers change over"
    write(path, new)
    clock.now = 2.2
    assert ring.find(old_secret) is None
    assert ring.find(new_secret) == new


def test_a_file_put_in_place_of_another_is_seen(tmp_path: Path) -> None:
    clock, (secret, key) = Clock(), new_key("a")
    path = write(tmp_path / "keys", new_key("b")[1])
    ring = KeyRing([], path, clock=clock)
    write(tmp_path / "next", key).replace(path)
    clock.now = 1.1
    assert ring.find(secret) == key


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("nonsense"), lambda path: path.unlink()])
def test_a_spoilt_file_changes_nothing_and_is_told(
    tmp_path: Path, spoil: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(spoil)
    clock, (secret, key) = Clock(), new_key("a")
    path = write(tmp_path / "keys", key)
    ring = KeyRing([], path, clock=clock)
    spoil(path)
    for clock.now in (1.1, 2.2):
        assert ring.find(secret) == key
    assert caplog.text.count("keys_not_read") == 1
    write(path)
    clock.now = 3.3
    assert ring.find(secret) is None, "an empty file is in order, and lets nobody in"


def test_a_file_that_is_wrong_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        KeyRing([], tmp_path / "nowhere")
    with pytest.raises(ValueError, match="line 1"):
        KeyRing([], write(tmp_path / "keys", text="nonsense"))
