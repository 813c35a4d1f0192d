"""Which of the types on offer a caller would have."""

from __future__ import annotations

from collections.abc import Sequence


def choose(accept: Sequence[str], offers: Sequence[str]) -> str | None:
    """The offer that the `Accept` headers give the highest q, the earlier on ties; None if all are excluded.

    As RFC 9110 has it: the most specific range that matches an offer decides, and no header accepts all.
    What is no media range is passed over.
    """
    ranges = [parsed for item in ",".join(accept).split(",") if (parsed := _parse(item)) is not None]
    if not "".join(accept).strip():
        return offers[0]
    best, best_q = None, 0.0
    for offer in offers:
        q = _quality(offer, ranges)
        if q > best_q:
            best, best_q = offer, q
    return best


def _quality(offer: str, ranges: list[tuple[str, float]]) -> float:
    kind = offer.partition("/")[0]
    for pattern in (offer, f"{kind}/*", "*/*"):
        matching = [q for given, q in ranges if given == pattern]
        if matching:
            return max(matching)
    return 0.0


def _parse(item: str) -> tuple[str, float] | None:
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    kind, slash, subtype = media_range.partition("/")
    if not (kind and slash and subtype):
        return None
    q = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                q = float(value)
            except ValueError:
                return None
    return (media_range, q) if 0 <= q <= 1 else None
