"""Samples of a load test: times and answer of one request each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer to a request: the HTTP status as text, or the kind of failure with its message.

    `headers` has lower-case names.
    """

    status: str
    failure: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Sample of one request. Times are in seconds from the start of the load test.

    `pixels` is the size of the picture, 0 if unknown. `failure` is the message of a request without an answer. In a
    closed loop a request is due when its client is free.
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
        """Latency in seconds from the moment the request was due, so that a late dispatch counts."""
        return self.finished_s - self.due_s

    @property
    def lateness_s(self) -> float:
        """Delay of the dispatch: seconds from due to sent."""
        return self.sent_s - self.due_s

    @property
    def is_answer(self) -> bool:
        """True if the request was answered with status 200."""
        return self.status == "200"

    @property
    def is_refusal(self) -> bool:
        """True if the server refused the request. A time-out or a broken connection is no refusal."""
        return self.status.isdigit() and not self.is_answer


def sample_of(label: str, answer: Answer, pixels: int, times_s: tuple[float, float, float]) -> Sample:
    """Make the sample of an answer; `times_s` are due, sent and finished. `Vcodec-Size` overrides `pixels`."""
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
    """Parse Server-Timing, `decode;dur=3.1, queue;dur=0.2`, into pairs of stage and milliseconds."""
    entries = ([part.strip() for part in entry.split(";")] for entry in timing.split(","))
    return [
        (name, float(parameter.removeprefix("dur=")))
        for name, *parameters in entries
        for parameter in parameters
        if parameter.startswith("dur=")
    ]
