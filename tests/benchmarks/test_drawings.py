from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import drawings
from benchmarks.drawings import flat_shares, main, rendered
from tests.models import make_store
from tests.pictures import scene


def test_every_mode_and_step_has_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings, "STEPS", (12, 48))
    make_store(tmp_path, name="other", seed=1)
    make_store(tmp_path)
    assert main(["tiny", "other", "--model-store", str(tmp_path), "--count", "2"]) == 0
    table, shares = capsys.readouterr().out.split("\n\n")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        [scale, chroma, step] for scale, chroma in (("1", "420"), ("1", "444"), ("2", "420")) for step in ("12", "48")
    ]
    for finer, coarser in zip(rows[::2], rows[1::2], strict=True):
        assert all(float(fine) > float(coarse) for fine, coarse in zip(finer[3:], coarser[3:], strict=True))
    assert shares.splitlines()[2].startswith("| drawings | ")


def test_drawings_are_flat_and_photographs_are_not() -> None:
    assert float(flat_shares(rendered(8))[2]) > 0.35 > float(flat_shares([scene(96, 96)])[4])
