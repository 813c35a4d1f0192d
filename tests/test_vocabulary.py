"""Words of a private vocabulary that left the code do not come back: the terms are the field's own."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.conftest import ROOT

# Regular expressions over the text of service/, by the part of the code that a word was used in.
RETIRED: Final[dict[str, tuple[str, ...]]] = {
    "package": (
        r"\bfrom service\b",
        r"\bimport service\b",
        r"\bthe house\b",
        r"\bfor it in\b(?! the\b)",
        r"\blambda it\b",
    ),
    "shared": (r"\b[Cc]rew\b", r"\bhired\b", r"\bdismiss(?:ed)?\b", r"interrupts\.came\b"),
    "api": (r"\bstrangers\b", r"\b_?of_runners\b", r"\bHeadLimits\b", r"\bcheck_apart\b", r"\battended\b"),
    "bitstream": (r"\b_ZIGZAG\b", r"\bsomebody else\b"),
    "cli": (r"CodecWish", r"_PATIENCE_S"),
    "codec": (
        r"codec\.(?:likely|guess|proof|solve)\b",
        r"\b[Ll]ikel(?:y|iest)_\w*",
        r"\bprove\(",
        r"\blargest\(",
        r"\bLoadedModel\b",
        r"\bworth_at\b",
        r"\bbits_worth\b",
        r"\bpoints_to_try\b",
        r"_LOOKED_AT\b",
        r"_MEMORY\b",
        r"\bfirst_steps\b",
        r"\bearlier_luma\b",
        r"_LIKELIHOOD_A_LEVEL",
        r"\b_SPREAD\b",
        r"\b_STRAY\b",
        r"\b_UNLIKE(?:_DB)?\b",
        r"\b_DOUBT\b",
        r"\b_TAKEN_BACK\b",
        r"\b_CAUTION\b",
        r"\b_LITTLE_MORE\b",
        r"\b_WORTH_IT\b",
        r"\bfavour\b",
    ),
    "codecs": (r"\bdearest\b", r"\bsuffices\(", r"\bbit_worth\b", r"\b[Pp]olish(?:ed|es|ing)?\b"),
    "evaluation": (r"evaluation\._(?:points|curves|pictures)\b",),
    "images": (r"\b[Ee]ssence\b", r"\bdecode_(?:as_coded|luma)\b"),
    "load_test": (r"\bown_server\b", r"\bmade_up\w*", r"\brun_load\b", r"\bsizes_of\b"),
    "networks": (),
    "runner": (r"\bBatchTally\b", r"\blonely\b", r"\bWanted\b", r"_WORTH\b"),
    "serving": (
        r"\bSeat\b",
        r"\bseats?\b",
        r"\bKeeper\b",
        r"\bTicket\b",
        r"\bSecondChances\b",
        r"_SURE\b",
        r"\bJobRunner\b",
        r"\b_is_fatal\b",
        r"\bbury\b",
        r"\.marks\b",
        r"\.ask\(",
    ),
    "training": (
        r"\bdiary\b",
        r"\bDiary\b",
        r"\bAlternation\b",
        r"\bColourTrio\b",
        r"\bTrio\b",
        r"\blet_move\b",
        r"\btake_over\b",
        r"training\.(?:alternation|alternating|structure|diary|_stages)\b",
        r"\blikeness\b",
        r"_PLACE\b",
    ),
}


@pytest.mark.parametrize("part", list(RETIRED))
def test_retired_words_are_not_used(part: str) -> None:
    sources = sorted((ROOT / "service").rglob("*.py"))
    assert sources
    words = [re.compile(word) for word in RETIRED[part]]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(word.search(line) for word in words)
    ]
    assert not found, "\n".join(found)
