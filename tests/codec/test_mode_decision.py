from __future__ import annotations

import numpy as np
import pytest

from tests.pictures import scene
from virtual_codec.codec.mode_decision import candidate_points
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.operating import MODES
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trials
from virtual_codec.codecs import CODECS
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

SMOOTH = np.ascontiguousarray(np.broadcast_to(np.linspace(0, 255, 64)[:, None, None], (64, 64, 3))).astype(np.uint8)
BUSY = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def model(store: ModelStore) -> ModelNetworks:
    return ModelNetworks(store, store.default, DirectRunner())


def trials_of(model: ModelNetworks, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Trials:
    return Trials(pixels, model, CODECS["jpeg"], stopwatch=Stopwatch())


@pytest.mark.parametrize("effort", [0, 1, 2])
def test_low_effort_tries_the_mode_that_suits_the_image(model: ModelNetworks, effort: int) -> None:
    options = CompressOptions(effort=effort)
    for pixels, scale in ((SMOOTH, 2), (BUSY, 1)):
        (point,) = candidate_points(trials_of(model, pixels), model.operating, options, model.operating.multiplier(50))
        assert point.mode.scale == scale


def test_half_size_suits_an_image_the_coarser_it_is_coded(model: ModelNetworks) -> None:
    options, table = CompressOptions(effort=0), model.operating
    trials = trials_of(model, scene(96, 96))
    scales = [
        candidate_points(trials, table, options, table.multiplier(quality))[0].mode.scale for quality in range(1, 101)
    ]
    assert scales == sorted(scales, reverse=True)
    assert set(scales) == {1, 2}


def test_high_effort_tries_all_modes_and_default_effort_both_scales_only_where_in_doubt(model: ModelNetworks) -> None:
    table, multiplier = model.operating, model.operating.multiplier(50)
    in_doubt = scene(96, 96)
    at_threshold = trials_of(model, in_doubt).halving_error / 0.5
    for pixels, at, scales in ((SMOOTH, multiplier, {2}), (BUSY, multiplier, {1}), (in_doubt, at_threshold, {1, 2})):
        trials = trials_of(model, pixels)
        assert len(candidate_points(trials, table, CompressOptions(effort=9), at)) == len(MODES)
        assert len(candidate_points(trials, table, CompressOptions(effort=0), at, all_modes=True)) == len(MODES)
        assert {point.mode.scale for point in candidate_points(trials, table, CompressOptions(), at)} == scales


def test_chroma_of_full_size_is_tried_where_halving_it_loses_much(model: ModelNetworks) -> None:
    table = model.operating
    coloured = np.zeros((64, 64, 3), np.uint8)
    coloured[::2, ::2, 0] = coloured[1::2, 1::2, 2] = 255  # chroma of one pixel's size
    almost_grey = np.repeat(BUSY[..., :1], 3, axis=2)
    almost_grey[0, 0] = (9, 8, 7)
    for pixels, expected in ((coloured, {"420", "444"}), (almost_grey, {"420"})):
        trials = trials_of(model, pixels)
        for quality in (50, 90):
            points = candidate_points(trials, table, CompressOptions(scale=1), table.multiplier(quality))
            assert {point.mode.subsampling for point in points} == expected


def test_a_scale_that_was_asked_for_decides(model: ModelNetworks) -> None:
    trials, table = trials_of(model, BUSY), model.operating
    points = candidate_points(trials, table, CompressOptions(scale=2), table.multiplier(50))
    assert {point.mode.scale for point in points} == {2}


def test_a_grey_image_gets_a_mode_at_any_effort(model: ModelNetworks) -> None:
    trials = trials_of(model, np.ascontiguousarray(BUSY[..., 0]))
    for effort in range(10):
        points = candidate_points(
            trials, model.operating, CompressOptions(effort=effort), model.operating.multiplier(50)
        )
        assert points
        assert all(point.mode.subsampling == "420" for point in points)
