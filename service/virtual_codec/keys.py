"""API keys: who may call, and how often. Only digests are kept; a key itself is seen once, when it is made.

    alice:sha256:<64 hex digits> requests=60/minute;5000/day megapixels=500/hour     one line of a key file

A key is 256 random bits, so its plain sha256 cannot be turned back, and no slow hash is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from virtual_codec.logs import Event

RATES: Final = r"[1-9][0-9]{0,8}/(second|minute|hour|day)(;[1-9][0-9]{0,8}/(second|minute|hour|day)){0,3}"
UNLIMITED: Final = "unlimited"

_LOG: Final = logging.getLogger(__name__)
_ID: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ENTRY: Final = re.compile(rf"(?P<id>{_ID}):sha256:(?P<digest>[0-9a-fA-F]{{64}})")
_PREFIX: Final = "vcodec_"  # so that scanners of repositories and logs know one when they see it
_LOOK_AGAIN_S: Final = 1.0


@final
@dataclass(frozen=True, kw_only=True)
class Key:
    """One key: its id, which logs and metrics show, and its sha256.

    `requests` and `megapixels` are rates such as "60/minute;5000/day", "unlimited", or None for the server's.
    """

    id: str
    digest: bytes = field(repr=False)
    requests: str | None = None
    megapixels: str | None = None

    @property
    def entry(self) -> str:
        """Its line in a key file."""
        rates = [f"{name}={rate}" for name in ("requests", "megapixels") if (rate := getattr(self, name)) is not None]
        return " ".join([f"{self.id}:sha256:{self.digest.hex()}", *rates])


def new_key(id: str, *, requests: str | None = None, megapixels: str | None = None) -> tuple[str, Key]:  # noqa: A002
    """A fresh secret of 256 random bits, and the key that knows it. Raises `ValueError` for an id or rate."""
    if not re.fullmatch(_ID, id):
        raise ValueError(f"an ID is 1 to 64 letters, digits, . _ or -, the first a letter or digit; got {id[:80]!r}")
    secret = _PREFIX + secrets.token_urlsafe(32)
    key = Key(id=id, digest=digest_of(secret), requests=requests, megapixels=megapixels)
    parse_entry(key.entry)
    return secret, key


def digest_of(secret: str) -> bytes:
    """The sha256 of a key."""
    return hashlib.sha256(secret.encode()).digest()


def parse_entry(text: str) -> Key:
    """One line of a key file. Raises `ValueError`, which never repeats the line."""
    entry, *options = text.split()
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError("a key is ID:sha256:DIGEST with 64 hex digits; `vcodec keys new ID` makes one")
    rates: dict[str, str] = {}
    for option in options:
        name, _, rate = option.partition("=")
        if name not in ("requests", "megapixels") or name in rates:
            raise ValueError("after the digest come requests=RATE and megapixels=RATE, each at most once")
        if rate != UNLIMITED and not re.fullmatch(RATES, rate):
            raise ValueError(f"{name} is a rate such as 60/minute or 60/minute;5000/day, or {UNLIMITED}")
        rates[name] = rate
    return Key(id=match["id"], digest=bytes.fromhex(match["digest"]), **rates)


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file: a line each; empty lines and those that begin with # say nothing.

    Raises `OSError`, and `ValueError` that names the line.
    """
    keys = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                keys.append(parse_entry(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
    check_apart(keys)
    return tuple(keys)


def check_apart(keys: Iterable[Key]) -> None:
    """Raise `ValueError` where two keys have one id, or one secret: nobody could tell who called."""
    ids: set[str] = set()
    digests: set[bytes] = set()
    for key in keys:
        if key.id in ids:
            raise ValueError(
                f"there are two keys {key.id}; to rotate a key, make one with another ID such as {key.id}-2, have the "
                f"caller change over, and delete the line of the first"
            )
        if key.digest in digests:
            raise ValueError(
                f"the key {key.id} has the digest of another: nobody could tell who called; make a new one"
            )
        ids.add(key.id)
        digests.add(key.digest)


@final
class KeyRing:
    """The keys that may call: some that stay, and those of a file that is read again when it changes.

    A file that has become unreadable or wrong changes nothing: the log says so, and the keys of before stay.
    Raises `OSError` and `ValueError` when it cannot be read at first.
    """

    def __init__(
        self, keys: Sequence[Key] = (), file: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fixed = tuple(keys)
        self._file = file
        self._clock = clock
        self._looked_at = clock()
        self._seen = _stamp(file)
        self._keys = self._read()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> Key | None:
        """The key that this is, or None. All are compared, so that the time tells nothing of any of them."""
        self._look_again()
        digest = digest_of(secret)
        found = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found

    def _read(self) -> tuple[Key, ...]:
        keys = (*self._fixed, *(read_keys(self._file) if self._file is not None else ()))
        check_apart(keys)
        return keys

    def _look_again(self) -> None:
        now = self._clock()
        if self._file is None or now - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = now
        stamp = _stamp(self._file)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = self._read()
        except (OSError, ValueError) as error:
            _LOG.error(Event("keys_not_read", kept=len(self._keys), reason=error))
        else:
            _LOG.info(Event("keys_read", keys=len(self._keys)))


def _stamp(file: Path | None) -> tuple[int, ...]:
    try:
        status = file.stat() if file is not None else None
    except OSError:
        return ()
    return () if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)
