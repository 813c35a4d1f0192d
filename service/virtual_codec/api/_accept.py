"""Content negotiation: the media type of an answer, chosen by the `Accept` header."""

from __future__ import annotations

from collections.abc import Sequence


def choose(accept: Sequence[str], offers: Sequence[str]) -> str | None:
    """Offered type with the highest q in the `Accept` headers, the first one on ties, or None if all are excluded.

    RFC 9110, section 12.5.1: the most specific range that matches an offer decides, and a missing header accepts
    everything, as does an empty list. Items that are not media ranges are ignored.
    """
    items = [item for item in ",".join(accept).split(",") if item.strip()]
    if not items:
        return offers[0]
    ranges = [parsed for item in items if (parsed := _parse(item)) is not None]
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
