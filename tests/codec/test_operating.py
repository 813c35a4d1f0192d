from __future__ import annotations

import pytest

from tests.models import made_up_tables
from virtual_codec.codec.operating import MODES, OperatingTable
from virtual_codec.errors import BadModel

TABLE = OperatingTable(made_up_tables())


def test_the_mode_that_is_best_for_most_comes_first() -> None:
    for quality in (1, 50, 100):
        shares = [point.share for point in TABLE.points(TABLE.multiplier(quality))]
        assert len(shares) == len(MODES)
        assert shares == sorted(shares, reverse=True)


def test_a_scale_leaves_its_own_modes() -> None:
    assert {point.mode.scale for point in TABLE.points(TABLE.multiplier(50), scale=1)} == {1}
    assert [point.mode.scale for point in TABLE.points(TABLE.multiplier(50), scale=2)] == [2]


def test_a_scale_below_the_least_scale_has_no_points() -> None:
    assert {point.mode.scale for point in TABLE.points(TABLE.multiplier(90), least_scale=2)} == {2}
    assert TABLE.points(TABLE.multiplier(90), scale=1, least_scale=2) == []


def test_the_nearest_quality_is_the_steps_own() -> None:
    for mode in MODES:
        for quality in (1, 37, 100):
            point = next(p for p in TABLE.points(TABLE.multiplier(quality)) if p.mode == mode)
            assert TABLE.nearest_quality(mode, point.step) == quality


@pytest.mark.parametrize("missing", ["worth", "share-1-420"])
def test_missing_or_short_tables_are_a_bad_model(missing: str) -> None:
    tables = made_up_tables()
    tables[missing] = tables[missing][:99]
    with pytest.raises(BadModel, match=missing):
        OperatingTable(tables)
    with pytest.raises(BadModel, match="step-<mode>"):
        OperatingTable({"worth": tables["worth"]} if missing != "worth" else {"worth": [1.0] * 100})


def test_a_grey_picture_has_modes_without_chroma_only() -> None:
    tables = made_up_tables()
    tables["share-1-444"] = [1.0] * 100
    points = OperatingTable(tables).points(1.0, grey=True)
    assert points
    assert all(point.mode.subsampling == "420" for point in points)
