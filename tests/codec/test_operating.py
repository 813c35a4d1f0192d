from __future__ import annotations

import pytest

from service.codec.operating import MODES, OperatingTable
from service.errors import BadModel
from tests.models import made_up_tables

TABLE = OperatingTable(made_up_tables())


def test_low_effort_tries_the_likeliest_mode_only() -> None:
    for quality in (1, 50, 100):
        (point,) = TABLE.points(TABLE.worth(quality), least_share=2)
        assert point.share == max(other.share for other in TABLE.points(TABLE.worth(quality), least_share=0))


def test_high_effort_tries_them_all_and_default_effort_those_that_win() -> None:
    assert len(TABLE.points(TABLE.worth(50), least_share=0)) == len(MODES)
    assert all(point.share >= 0.02 for point in TABLE.points(TABLE.worth(1), least_share=0.02))


def test_a_scale_leaves_its_own_modes() -> None:
    assert {point.mode.scale for point in TABLE.points(TABLE.worth(50), least_share=0, scale=1)} == {1}
    assert [point.mode.scale for point in TABLE.points(TABLE.worth(50), least_share=2, scale=2)] == [2]


def test_where_nothing_suits_nothing_is_left() -> None:
    assert {point.mode.scale for point in TABLE.points(TABLE.worth(90), least_scale=2)} == {2}
    assert TABLE.points(TABLE.worth(90), scale=1, least_scale=2) == []


def test_the_nearest_quality_is_the_steps_own() -> None:
    for mode in MODES:
        for quality in (1, 37, 100):
            point = next(p for p in TABLE.points(TABLE.worth(quality), least_share=0) if p.mode == mode)
            assert TABLE.nearest_quality(mode, point.step) == quality


@pytest.mark.parametrize("missing", ["worth", "share-1-420"])
def test_missing_or_short_tables_are_a_bad_model(missing: str) -> None:
    tables = made_up_tables()
    tables[missing] = tables[missing][:99]
    with pytest.raises(BadModel, match=missing):
        OperatingTable(tables)
    with pytest.raises(BadModel, match="step-<mode>"):
        OperatingTable({"worth": tables["worth"]} if missing != "worth" else {"worth": [1.0] * 100})


def test_a_grey_picture_gets_a_mode_at_any_effort() -> None:
    tables = made_up_tables()
    tables["share-1-444"] = [1.0] * 100
    for least_share in (0.0, 0.02, 2.0):
        points = OperatingTable(tables).points(1.0, least_share=least_share, grey=True)
        assert points
        assert all(point.mode.subsampling == "420" for point in points)
