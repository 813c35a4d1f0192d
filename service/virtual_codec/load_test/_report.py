"""Report of a load test: percentiles, throughput, and reasons to doubt the figures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from virtual_codec.load_test._profile import LoadProfile
from virtual_codec.load_test._samples import Sample

SCHEMA: Final = 1
WINDOWS: Final = 5
_PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9, 100.0)
_THROUGHPUT_TOLERANCE: Final = 0.1  # relative deviation of a window from the mean of all
_MAX_LATENESS_S: Final = 0.010  # a larger delay of a dispatch shows that the load generator is overloaded


def percentile(values: Iterable[float], percent: float) -> float:
    """Percentile by nearest rank: smallest value that `percent` % of `values` do not exceed. NaN without values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(1, math.ceil(percent / 100 * len(ordered))) - 1]


@dataclass(frozen=True, kw_only=True)
class Window:
    """Throughput and median latency of one span of a load test. `p50_ms` is None for a span without answers."""

    images_per_s: float
    p50_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Samples of a load test, with the figures computed from them.

    Latencies are those of answers with status 200. They count from the time at which each request was due. Throughput
    counts the answers within `seconds`: the time until the last answer of a closed loop, or the time in which requests
    of an open loop arrived.
    """

    samples: Sequence[Sample] = field(repr=False)
    seconds: float
    clients: int
    rate_per_s: float | None = None
    arrivals: str = ""
    limit_s: float | None = None

    @classmethod
    def of(cls, profile: LoadProfile, samples: Sequence[Sample], elapsed_s: float) -> Self:
        """Make the report of a profile's samples; `elapsed_s` is the time until the last answer."""
        return cls(
            samples=tuple(sorted(samples, key=lambda sample: sample.due_s)),
            seconds=elapsed_s if profile.rate_per_s is None else profile.seconds,
            clients=profile.clients,
            rate_per_s=profile.rate_per_s,
            arrivals=profile.arrivals if profile.rate_per_s is not None else "",
            limit_s=profile.limit_s,
        )

    @property
    def answers(self) -> Sequence[Sample]:
        """Samples answered with status 200."""
        return [sample for sample in self.samples if sample.is_answer]

    @property
    def statuses(self) -> Mapping[str, int]:
        """Number of requests by HTTP status or kind of failure."""
        return dict(sorted(Counter(sample.status for sample in self.samples).items()))

    @property
    def images_per_s(self) -> float:
        """Throughput in answers per second."""
        return len(self._answers_in_time) / self.seconds

    @property
    def megapixels_per_s(self) -> float:
        """Throughput in megapixels per second; pictures of unknown size are not counted."""
        return sum(sample.pixels for sample in self._answers_in_time) / 1e6 / self.seconds

    @property
    def goodput_per_s(self) -> float:
        """Goodput: answers per second with a latency of at most `limit_s`."""
        limit_s = math.inf if self.limit_s is None else self.limit_s
        return sum(sample.latency_s <= limit_s for sample in self._answers_in_time) / self.seconds

    def latency_ms(self, percent: float) -> float:
        """Latency percentile of the answers, in milliseconds."""
        return 1000 * percentile((sample.latency_s for sample in self.answers), percent)

    def refusal_ms(self, percent: float) -> float:
        """Percentile of the time from sending to refusal, in milliseconds."""
        refusals = (sample for sample in self.samples if sample.is_refusal)
        return 1000 * percentile((sample.finished_s - sample.sent_s for sample in refusals), percent)

    def lateness_ms(self, percent: float) -> float:
        """Percentile of the delay from the due time to the dispatch, in milliseconds."""
        return 1000 * percentile((sample.lateness_s for sample in self.samples), percent)

    def windows(self) -> list[Window]:
        """Throughput and median latency in `WINDOWS` equal spans of the time, by arrival of the answers."""
        span = self.seconds / WINDOWS
        by_window: list[list[float]] = [[] for _ in range(WINDOWS)]
        for sample in self._answers_in_time:
            by_window[min(WINDOWS - 1, int(sample.finished_s / span))].append(sample.latency_s)
        return [
            Window(images_per_s=len(found) / span, p50_ms=1000 * percentile(found, 50) if found else None)
            for found in by_window
        ]

    def doubts(self) -> list[str]:
        """Reasons to doubt the figures, as sentences; empty if they were steady."""
        found = []
        answers = len(self.answers)
        if self.samples and not answers:
            first = self.samples[0]
            found.append(
                f"no request was answered with 200; the first ended with {first.status}{_after_colon(first.failure)}"
            )
        elif answers < 10 * WINDOWS:
            found.append(f"only {answers} answers; measure longer")
        else:
            found += self._steadiness_doubts(answers)
        if self.rate_per_s is not None and self.lateness_ms(99) > 1000 * _MAX_LATENESS_S:
            found.append(
                f"1 % of the requests were sent more than {self.lateness_ms(99):.0f} ms late, and latencies include "
                "this delay; allow more clients, or load from another machine"
            )
        return found

    def as_dict(self) -> dict[str, object]:
        """Report as JSON values; percentiles without samples are left out."""
        labels = list(dict.fromkeys(sample.label for sample in self.samples))
        return {
            "schema": SCHEMA,
            "loop": "closed" if self.rate_per_s is None else "open",
            "clients": self.clients,
            **({} if self.rate_per_s is None else {"offered_per_s": self.rate_per_s, "arrivals": self.arrivals}),
            "seconds": round(self.seconds, 3),
            "requests": len(self.samples),
            "statuses": self.statuses,
            "images_per_s": round(self.images_per_s, 3),
            "megapixels_per_s": round(self.megapixels_per_s, 3),
            "goodput_per_s": round(self.goodput_per_s, 3),
            "limit_ms": None if self.limit_s is None else 1000 * self.limit_s,
            "received_bytes": sum(sample.received_bytes for sample in self.answers),
            "latency_ms": _percentiles(self.latency_ms),
            "refusal_ms": _percentiles(self.refusal_ms),
            "lateness_ms": _percentiles(self.lateness_ms),
            "stages_ms": self._stages_ms(),
            "kinds": [self._figures_of_label(label) for label in labels] if len(labels) > 1 else [],
            "windows": [
                {"images_per_s": round(w.images_per_s, 3), "p50_ms": _rounded(w.p50_ms)} for w in self.windows()
            ],
            "doubts": self.doubts(),
        }

    @property
    def _answers_in_time(self) -> Sequence[Sample]:
        return [sample for sample in self.answers if sample.finished_s <= self.seconds]

    def _steadiness_doubts(self, answers: int) -> list[str]:
        windows = self.windows()
        rates = [window.images_per_s for window in windows]
        # Chance alone makes deviations of up to about two standard deviations of a Poisson count.
        tolerance = max(_THROUGHPUT_TOLERANCE, 2 / math.sqrt(answers / WINDOWS))
        found = []
        if max(abs(rate - self.images_per_s) for rate in rates) > tolerance * self.images_per_s:
            found.append(f"throughput varied from {min(rates):.3g} to {max(rates):.3g} images/s; measure longer")
        first, last = windows[0].p50_ms, windows[-1].p50_ms
        if self.rate_per_s is not None and first is not None and last is not None and last > 2 * first:
            found.append(f"latency grew from {first:.0f} to {last:.0f} ms: the rate is above the server's capacity")
        return found

    def _stages_ms(self) -> dict[str, float]:
        totals: defaultdict[str, float] = defaultdict(float)
        for sample in self.answers:
            for stage, milliseconds in sample.stages_ms.items():
                totals[stage] += milliseconds
        return {stage: round(total / len(self.answers), 1) for stage, total in totals.items()}

    def _figures_of_label(self, label: str) -> dict[str, object]:
        samples = [sample for sample in self.samples if sample.label == label]
        latencies = [sample.latency_s for sample in samples if sample.is_answer]
        return {
            "label": label,
            "requests": len(samples),
            "statuses": dict(sorted(Counter(sample.status for sample in samples).items())),
            "latency_ms": _percentiles(lambda percent: 1000 * percentile(latencies, percent)),
        }


def _percentiles(of: Callable[[float], float]) -> dict[str, float]:
    return {f"p{percent:g}": round(value, 1) for percent in _PERCENTS if not math.isnan(value := of(percent))}


def _after_colon(words: str) -> str:
    return f": {words}" if words else ""


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
