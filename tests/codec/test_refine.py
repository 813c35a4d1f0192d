from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from tests.pictures import scene
from virtual_codec.codec.effort import EFFORTS, Effort
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.operating import MODES, Mode
from virtual_codec.codec.refine import damped, descent_trials, gradient_descent, neighbours
from virtual_codec.codec.search import trial_at_quality
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trial, Trials
from virtual_codec.codecs import CODECS, JpegSettings
from virtual_codec.errors import DeadlineExceeded
from virtual_codec.jobs import CompressOptions, deadline_scope
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

STORE = Path(__file__).parents[2] / "model_store"
PHOTOGRAPH = np.ascontiguousarray(data.astronaut()[20:123, 180:310])  # type: ignore[no-untyped-call]
PATIENT = Effort(modes="all", optimises_scans=False, passes=2, rounds=4, stride=0.3)


@pytest.fixture(scope="module")
def model() -> ModelNetworks:
    store = ModelStore(STORE)
    return ModelNetworks(store, store.default, DirectRunner())


def trials_of(model: ModelNetworks, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Trials:
    return Trials(picture, model, CODECS["jpeg"], stopwatch=Stopwatch())


def description_of(trials: Trials, trial: Trial) -> NDArray[np.float32]:
    return trials.describe(trial.mode, trial.settings).astype(np.float32)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_the_gradient_leads_to_a_cheaper_stream(model: ModelNetworks, mode: Mode) -> None:
    trials = trials_of(model, PHOTOGRAPH)
    step = 40.0 / mode.scale
    multiplier = model.operating.multiplier_at(mode, step)
    first = trials.measure(mode, trials.settings(mode, step))
    costs = [
        trial.cost(multiplier)
        for trial in gradient_descent(trials, first, description_of(trials, first), multiplier, PATIENT)
    ]
    assert len(costs) == PATIENT.rounds
    assert min(costs) < first.cost(multiplier)


def test_the_description_ends_as_that_of_the_cheapest_round(model: ModelNetworks) -> None:
    mode = MODES[1]
    trials = trials_of(model, PHOTOGRAPH)
    multiplier = model.operating.multiplier_at(mode, 30.0)
    first = trials.measure(mode, trials.settings(mode, 30.0))
    description = description_of(trials, first)
    hasty = replace(PATIENT, stride=2.0)  # rounds that are taken back are among these
    rounds = list(gradient_descent(trials, first, description, multiplier, hasty))
    cheapest = min((first, *rounds), key=lambda trial: trial.cost(multiplier))
    assert cheapest is not rounds[-1]
    assert trials.encode(mode, cheapest.settings, description) == cheapest.coded


@pytest.mark.parametrize("quality", [15, 60])
def test_a_higher_effort_makes_a_smaller_stream_that_is_restored_no_worse(model: ModelNetworks, quality: int) -> None:
    photograph = np.ascontiguousarray(data.astronaut()[:256, 128:384])  # type: ignore[no-untyped-call]
    usual, longer = (
        trial_at_quality(trials_of(model, photograph), model.operating, CompressOptions(quality=quality, effort=effort))
        for effort in (4, 8)
    )
    assert longer.size_bytes < 0.98 * usual.size_bytes
    assert longer.psnr_db >= usual.psnr_db


def test_descent_keeps_the_step_and_moves_the_trellis(model: ModelNetworks) -> None:
    mode = MODES[1]
    trials = trials_of(model, PHOTOGRAPH)
    best = trials.measure(mode, trials.settings(mode, 30.0))
    moved = list(descent_trials(trials, model.operating, best, PATIENT, lambda trial: 0.05))
    assert len(moved) == PATIENT.rounds + 2
    assert len({trial.step for trial in moved}) == 1
    assert moved[0].step > best.step
    strengths = [trial.settings.trellis for trial in moved]
    assert strengths[0] > best.settings.trellis
    assert max(strengths) <= 2 * best.settings.trellis


def test_grey_pictures_have_a_gradient_too(model: ModelNetworks) -> None:
    mode = MODES[1]
    trials = trials_of(model, np.ascontiguousarray(PHOTOGRAPH[..., 1]))
    multiplier = model.operating.multiplier_at(mode, 30.0)
    first = trials.measure(mode, trials.settings(mode, 30.0))
    refined = list(gradient_descent(trials, first, description_of(trials, first), multiplier, PATIENT))
    assert all(trial.restored.shape == PHOTOGRAPH.shape[:2] for trial in refined)
    assert min(trial.cost(multiplier) for trial in refined) < first.cost(multiplier)


@pytest.mark.parametrize("size", [(20, 2100), (2100, 20)], ids=["wide", "tall"])
def test_a_picture_of_several_windows_has_a_gradient_everywhere(model: ModelNetworks, size: tuple[int, int]) -> None:
    mode = MODES[1]
    trials = trials_of(model, np.tile(PHOTOGRAPH, (21, 17, 1))[: size[0], : size[1]].copy())
    multiplier = model.operating.multiplier_at(mode, 30.0)
    first = trials.measure(mode, trials.settings(mode, 30.0))
    (moved,) = gradient_descent(trials, first, description_of(trials, first), multiplier, replace(PATIENT, rounds=1))
    assert moved.coded != first.coded
    assert moved.cost(multiplier) < first.cost(multiplier)


def test_no_stride_is_made_after_the_deadline(model: ModelNetworks) -> None:
    mode = MODES[1]
    trials = trials_of(model, PHOTOGRAPH)
    first = trials.measure(mode, trials.settings(mode, 30.0))
    description = description_of(trials, first)
    with deadline_scope(time.monotonic() - 1, lambda: False), pytest.raises(DeadlineExceeded):
        next(gradient_descent(trials, first, description, 1.0, PATIENT))


def test_the_gradient_is_the_derivative_of_the_error(model: ModelNetworks) -> None:
    picture = scene(48, 64)
    random = np.random.default_rng(0)
    trials = trials_of(model, picture)
    for mode in MODES[:2]:
        settings = trials.settings(mode, 40.0)
        decoded = trials.decode(trials.encode(mode, settings))
        gradient = trials.error_gradient(mode, settings, decoded)
        vector = trials.condition(mode, settings)
        uphill = np.where(gradient > 0, 1, -1).astype(np.int16)  # any direction would do; here noise is least
        direction = uphill * random.choice(np.array([0, 1], np.int16), decoded.shape)
        errors = []
        for sign in (-1, 1):
            moved = np.clip(decoded + sign * direction, 0, 255).astype(np.uint8)
            restored = model.restore(moved, mode.scale, vector).astype(np.float64)
            errors.append(np.square(restored - picture).sum())
        inside = np.clip(decoded + direction, 0, 255).astype(np.float64) - np.clip(decoded - direction, 0, 255)
        assert errors[1] - errors[0] == pytest.approx(float((gradient * inside).sum()), rel=0.1)


def test_a_move_back_is_at_most_half_of_one_that_went_too_far() -> None:
    assert damped(0.2, 0.0) == 0.2
    assert damped(0.2, 0.3) == 0.2
    assert damped(-0.2, 0.3) == -0.15
    assert damped(0.1, -0.3) == 0.1


def test_neighbours_are_all_different_and_near() -> None:
    settings = JpegSettings(step=30)
    around = list(neighbours(settings))
    assert len({repr(each) for each in [*around, settings]}) == len(around) + 1
    assert all(0.8 < each.step / settings.step < 1.25 for each in around)


def test_there_are_ten_efforts_and_each_searches_no_less_for_its_modes() -> None:
    assert len(EFFORTS) == 10
    assert [effort.rounds for effort in EFFORTS] == sorted(effort.rounds for effort in EFFORTS)
    assert not any(effort.rounds or effort.neighbours for effort in EFFORTS[:5])
