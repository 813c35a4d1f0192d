"""Options as anybody may write them: read, or refused by name."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import Finding
from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions

NAMES = tuple(CompressOptions.__dataclass_fields__)
_NUMBERS = (
    st.integers().map(str) | st.floats().map(str) | st.sampled_from(["1e3", "٣", " 7", "0x10", "1_0", "-0", "NaN"])
)
OPTIONS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), st.text() | _NUMBERS, max_size=5)
_AT_A_TIME = 500


def check(options: Mapping[str, str]) -> None:
    """Raises `Finding` for what is read and should not be, and whatever else but a `BadOption` is raised."""
    try:
        read = CompressOptions.parse(dict(options))
    except BadOption as error:
        if not error.detail:
            raise Finding("a refusal without a word") from error
        return
    targets = (read.max_bytes, read.max_bpp, read.min_psnr, read.min_ms_ssim)
    if unknown := set(options) - set(NAMES):
        raise Finding(f"unknown options were taken: {unknown}")
    if not 0 <= read.effort <= 9 or not (read.quality is None or 1 <= read.quality <= 100):
        raise Finding(f"out of range: {read}")
    if sum(it is not None for it in (read.quality, *targets)) > 1:
        raise Finding(f"more than one target: {read}")


def explore(seconds: float, random: Random) -> tuple[int, str | None]:
    """So many seconds of that. How many were tried, and what went wrong, made as small as can be, if anything did."""
    tried = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:

        @seed(random.getrandbits(64))
        @settings(
            max_examples=_AT_A_TIME,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(OPTIONS)
        def try_some(options: dict[str, str]) -> None:
            nonlocal tried
            tried += 1
            check(options)

        try:
            try_some()
        except Exception:
            return tried, traceback.format_exc()
    return tried, None
