"""Verdict on every answer: right, an allowed refusal, or a lost request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from virtual_codec.load_test import Answer, Request, Sender

OK: Final = "200"
OVERLOADED: Final = "503 overloaded"
TOO_LATE: Final = "504 deadline_exceeded"
POISON: Final = "422 poison_input"
NO_MEMORY: Final = "503 unavailable"
_MEMBERS: Final = ("type", "title", "status", "detail", "instance", "code", "request_id")
_MAX_LISTED: Final = 10


@dataclass(frozen=True, kw_only=True)
class AllowedOutcomes:
    """Allowed outcomes by kind of request. `others` are those of kinds that are not named."""

    others: frozenset[str] = frozenset({OK})
    by_label: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def allows(self, label: str, outcome: str) -> bool:
        """True if the outcome is allowed for the kind of request."""
        return outcome in self.by_label.get(label, self.others)


@final
class Checker:
    """Sender that compares each answer with the server's answer without faults."""

    def __init__(self, sender: Sender, allowed: AllowedOutcomes) -> None:
        self._sender = sender
        self._allowed = allowed
        self._right: dict[tuple[str, bytes], bytes] = {}
        self._lock = threading.Lock()
        self.outcomes: Counter[str] = Counter()
        self.lost: list[str] = []

    def learn(self, requests: Sequence[Request]) -> None:
        """Send each request once and store its answer as the expected one. Raises `RuntimeError` for another status."""
        for request in requests:
            answer = self._sender.send(request)
            if answer.status != OK:
                raise RuntimeError(f"{request.label}: {answer.status} {answer.content[:300]!r}")
            self._right[_key(request)] = _digest(answer.content)

    def fresh_copy(self, allowed: AllowedOutcomes) -> Checker:
        """Checker with the same expected answers and no counts."""
        other = Checker(self._sender, allowed)
        other._right = dict(self._right)
        return other

    def send(self, request: Request) -> Answer:
        """Send a request, and count the verdict on its answer."""
        answer = self._sender.send(request)
        outcome, fault = self._judge(request, answer)
        with self._lock:
            self.outcomes[f"{request.label}: {outcome}"] += 1
            if fault:
                self.lost.append(f"{request.label}: {outcome}: {fault}")
        return answer

    def summary(self) -> dict[str, object]:
        """Counts of all outcomes, and the first lost requests."""
        return {
            "requests": sum(self.outcomes.values()),
            "outcomes": dict(sorted(self.outcomes.items())),
            "lost": len(self.lost),
            "lost_first": self.lost[:_MAX_LISTED],
        }

    def _judge(self, request: Request, answer: Answer) -> tuple[str, str]:
        if answer.status == OK:
            right = self._right.get(_key(request))
            if right is not None and right != _digest(answer.content):
                return OK, "other bytes than without faults"
            return OK, "" if self._allowed.allows(request.label, OK) else "it should have been refused"
        try:
            problem = json.loads(answer.content)
            outcome = f"{answer.status} {problem['code']}"
        except (ValueError, KeyError, TypeError):
            return answer.status, "no answer, or none that says why"
        if not all(name in problem for name in _MEMBERS):
            return outcome, "a problem without all its members"
        if answer.status in ("429", "503") and not answer.headers.get("retry-after", "").isdigit():
            return outcome, "no time to come back at"
        return outcome, "" if self._allowed.allows(request.label, outcome) else str(problem["detail"])[:200]


def _key(request: Request) -> tuple[str, bytes]:
    return request.path, _digest(request.content)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
