"""What is known of one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: the HTTP status as text, or the kind of failure and its words; headers by lower-case name."""

    status: str
    failure: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One request of a load. Times in seconds from its start; `pixels` of the picture, 0 when unknown.

    `failure` is what was said in place of an answer, for people.

    In a closed loop a request is due when its client has time for it.
    """

    label: str
    due_s: float
    sent_s: float
    finished_s: float
    status: str
    failure: str = ""
    pixels: int = 0
    received_bytes: int = 0
    stages_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def latency_s(self) -> float:
        """From the moment it was due, so that a late dispatch counts."""
        return self.finished_s - self.due_s

    @property
    def lateness_s(self) -> float:
        """How long after it was due it was sent."""
        return self.sent_s - self.due_s

    @property
    def is_answer(self) -> bool:
        """Whether it was answered 200."""
        return self.status == "200"

    @property
    def is_refusal(self) -> bool:
        """Whether the server said no. A time-out or a broken connection is none."""
        return self.status.isdigit() and not self.is_answer


def sample_of(label: str, answer: Answer, pixels: int, times_s: tuple[float, float, float]) -> Sample:
    """A sample of the times due, sent and finished. What the service's headers tell comes before `pixels`."""
    due_s, sent_s, finished_s = times_s
    return Sample(
        label=label,
        due_s=due_s,
        sent_s=sent_s,
        finished_s=finished_s,
        status=answer.status,
        failure=answer.failure,
        pixels=_pixels(answer.headers.get("vcodec-size", "")) or pixels,
        received_bytes=len(answer.content),
        stages_ms=dict(_stages(answer.headers.get("server-timing", ""))),
    )


def _pixels(size: str) -> int:
    width, separator, height = size.partition("x")
    return int(width) * int(height) if separator and width.isdigit() and height.isdigit() else 0


def _stages(timing: str) -> list[tuple[str, float]]:
    """Server-Timing: `decode;dur=3.1, queue;dur=0.2` -> pairs."""
    entries = ([part.strip() for part in entry.split(";")] for entry in timing.split(","))
    return [
        (name, float(parameter.removeprefix("dur=")))
        for name, *parameters in entries
        for parameter in parameters
        if parameter.startswith("dur=")
    ]
