"""API keys and their quotas. Only digests are stored; the key itself is shown once, when it is created.

    alice:sha256:<64 hex digits> requests=60/minute;5000/day megapixels=500/hour     one line of a key file

A key has 256 random bits, so its plain sha256 cannot be inverted and no slow hash is needed.
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
_PREFIX: Final = "vcodec_"  # so that secret scanners of repositories and logs recognise a key
_CHECK_INTERVAL_S: Final = 1.0


@final
@dataclass(frozen=True, kw_only=True)
class Key:
    """API key: its id, which logs and metrics show, and its sha256.

    `requests` and `megapixels` are rates such as "60/minute;5000/day", "unlimited", or None for the server's defaults.
    """

    id: str
    digest: bytes = field(repr=False)
    requests: str | None = None
    megapixels: str | None = None

    @property
    def entry(self) -> str:
        """Line of the key in a key file."""
        rates = [f"{name}={rate}" for name in ("requests", "megapixels") if (rate := getattr(self, name)) is not None]
        return " ".join([f"{self.id}:sha256:{self.digest.hex()}", *rates])


def new_key(id: str, *, requests: str | None = None, megapixels: str | None = None) -> tuple[str, Key]:  # noqa: A002
    """Make a secret of 256 random bits and its key. Raises `ValueError` for a malformed id or rate."""
    if not re.fullmatch(_ID, id):
        raise ValueError(f"an ID is 1 to 64 letters, digits, . _ or -, the first a letter or digit; got {id[:80]!r}")
    secret = _PREFIX + secrets.token_urlsafe(32)
    key = Key(id=id, digest=digest_of(secret), requests=requests, megapixels=megapixels)
    parse_entry(key.entry)
    return secret, key


def digest_of(secret: str) -> bytes:
    """SHA-256 digest of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def parse_entry(text: str) -> Key:
    """Parse a line of a key file. Raises `ValueError` that never contains the line."""
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
    """Read the keys of a file, one on each line. Empty lines and lines that begin with # are ignored.

    Raises `OSError`, and `ValueError` that names the line's number.
    """
    keys = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                keys.append(parse_entry(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
    check_distinct(keys)
    return tuple(keys)


def check_distinct(keys: Iterable[Key]) -> None:
    """Raise `ValueError` if two keys share an id or a secret, because their callers could not be distinguished."""
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
                f"the key {key.id} has the digest of another: callers could not be told apart; make a new one"
            )
        ids.add(key.id)
        digests.add(key.digest)


@final
class KeyRing:
    """Key ring: fixed keys, and those of a file that is reread when it changes.

    If the file becomes unreadable or malformed, an error is logged and the previous keys stay valid.
    Raises `OSError` and `ValueError` if it cannot be read at construction.
    """

    def __init__(
        self, keys: Sequence[Key] = (), file: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fixed = tuple(keys)
        self._file = file
        self._clock = clock
        self._checked_at = clock()
        self._stamp = _stamp(file)
        self._keys = self._read()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> Key | None:
        """Key of this secret, or None. All keys are compared, so that the time reveals nothing."""
        self._reload_if_changed()
        digest = digest_of(secret)
        found = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found

    def _read(self) -> tuple[Key, ...]:
        keys = (*self._fixed, *(read_keys(self._file) if self._file is not None else ()))
        check_distinct(keys)
        return keys

    def _reload_if_changed(self) -> None:
        now = self._clock()
        if self._file is None or now - self._checked_at < _CHECK_INTERVAL_S:
            return
        self._checked_at = now
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
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
