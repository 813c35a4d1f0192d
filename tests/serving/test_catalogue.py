"""Which model is served, whatever happens to the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.api.pretend import PretendPool, manifest_of, write_model
from virtual_codec.errors import BadModel, ModelNotFound, Unavailable
from virtual_codec.networks._body import ConditionedBody
from virtual_codec.runner._network import load_network
from virtual_codec.serving.catalogue import _MODEL_COPIES, Catalogue
from virtual_codec.store import ModelStore, default_model_store

RELEASED = ModelStore(default_model_store())

Open = Callable[..., Catalogue]


@pytest.fixture
def pool() -> PretendPool:
    return PretendPool()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with the models `first` (the default), `second` and `old` (retired)."""
    for name in ("first", "second", "old"):
        write_model(tmp_path, name, is_retired=name == "old")
    (tmp_path / "CURRENT").write_text("first\n")
    return tmp_path


@pytest.fixture
def catalogue(root: Path, pool: PretendPool) -> Catalogue:
    return Catalogue(ModelStore(root, tolerant=True), pool)


def states(catalogue: Catalogue) -> dict[str, str]:
    return {model.name: catalogue.state_of(model) for model in catalogue.models()}


async def test_another_model_becomes_the_default_and_the_old_one_is_forgotten(
    catalogue: Catalogue, pool: PretendPool
) -> None:
    first = catalogue.store.default
    assert states(catalogue) == {"first": "active", "second": "stored", "old": "stored"}
    second = await catalogue.activate("second")
    assert catalogue.store.default == second
    assert (pool.warmed, pool.forgotten) == ([second.id], [first.id])
    assert states(catalogue) == {"first": "stored", "second": "active", "old": "stored"}
    assert catalogue.swaps == {"success": 1, "failure": 0}


async def test_a_job_keeps_the_model_it_was_promised(catalogue: Catalogue, pool: PretendPool) -> None:
    with catalogue.use(None) as promised:
        await catalogue.activate("second")
        with catalogue.use(None) as later:
            assert (promised.name, later.name) == ("first", "second")
        assert states(catalogue)["first"] == "draining"
        assert catalogue.jobs(promised) == 1
        assert not pool.forgotten
    assert pool.forgotten == [promised.id]
    assert states(catalogue)["first"] == "stored"


async def test_one_that_comes_back_while_it_drains_stays(catalogue: Catalogue, pool: PretendPool) -> None:
    with catalogue.use(None) as promised:
        second = await catalogue.activate("second")
        await catalogue.activate("first")
    assert states(catalogue)["first"] == "active"
    assert pool.forgotten == [second.id]
    assert promised == catalogue.store.default


async def test_a_job_may_name_its_model(catalogue: Catalogue) -> None:
    with catalogue.use("second") as model:
        assert model.name == "second"
    with pytest.raises(ModelNotFound, match="no model 'third'"), catalogue.use("third"):
        pass


def broken_manifest(root: Path) -> None:
    (root / "second" / "manifest.json").write_text("{")


def missing_file(root: Path) -> None:
    (root / "second" / "p1.safetensors").unlink()


def missing_folder(root: Path) -> None:
    (root / "second").rename(root / ".second")


@pytest.mark.parametrize(
    ("damage", "error"), [(broken_manifest, BadModel), (missing_file, BadModel), (missing_folder, ModelNotFound)]
)
async def test_what_is_damaged_on_disk_is_refused_before_any_worker_hears_of_it(
    catalogue: Catalogue, pool: PretendPool, root: Path, damage: Callable[[Path], None], error: type[Exception]
) -> None:
    damage(root)
    with pytest.raises(error):
        await catalogue.activate("second")
    assert catalogue.store.default.name == "first"
    assert not pool.warmed
    assert catalogue.swaps == {"success": 0, "failure": 1}


async def test_what_workers_refuse_changes_nothing(
    catalogue: Catalogue, pool: PretendPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.bad_model = BadModel("its golden picture is restored with 3.0 dB")
    with caplog.at_level(logging.INFO, "virtual_codec"), pytest.raises(BadModel, match="golden"):
        await catalogue.activate("second")
    assert states(catalogue) == {"first": "active", "second": "stored", "old": "stored"}
    assert 'event=model_refused reason="its golden picture is restored with 3.0 dB" goes_on_with=first' in caplog.text


async def test_an_unexpected_error_is_a_bad_model(catalogue: Catalogue, pool: PretendPool) -> None:
    pool.bad_model = ZeroDivisionError("as told")
    with pytest.raises(BadModel, match="ZeroDivisionError"):
        await catalogue.activate("second")
    assert catalogue.store.default.name == "first"


async def test_without_memory_for_two_the_old_one_stays(root: Path, pool: PretendPool) -> None:
    catalogue = Catalogue(ModelStore(root), pool, available_bytes=lambda: 2**20)
    with pytest.raises(Unavailable, match="model second needs 64 MiB besides the active one, and 1 are free"):
        await catalogue.activate("second")
    assert not pool.warmed


async def test_memory_is_checked_for_the_alternatives_too(root: Path, pool: PretendPool) -> None:
    third = manifest_of("third").id
    write_model(root, "third")
    second = root / "second" / "manifest.json"
    second.write_text(replace(manifest_of("second"), alternatives=[third]).to_json())
    (root / "third" / "p1.safetensors").write_bytes(bytes(2**20))
    catalogue = Catalogue(ModelStore(root), pool, available_bytes=lambda: 74 * 2**20)
    with pytest.raises(Unavailable, match="model second needs 75 MiB"):
        await catalogue.activate("second")


@pytest.mark.parametrize("name", [model.name for model in RELEASED.models() if not model.retired])
def test_memory_for_a_released_model_is_not_underrated(name: str) -> None:
    model, taken = RELEASED.get(name), 0
    for key in model.networks:
        file = len(RELEASED.weights(model, key))
        module = load_network(RELEASED, model, key, device=torch.device("cpu"), precision=torch.float32).module
        bodies = [part for part in module.modules() if isinstance(part, ConditionedBody)]
        filters = [each for body in bodies for pair in body.filters for each in pair]
        taken += sum(parameter.nbytes for parameter in module.parameters()) + sum(each.nbytes for each in filters)
        assert taken + 2 * file <= _MODEL_COPIES * RELEASED.size_bytes(model)


async def test_a_retired_model_makes_no_new_streams(catalogue: Catalogue) -> None:
    with pytest.raises(ModelNotFound, match="retired"):
        await catalogue.activate("old")


async def test_reload_takes_what_current_names_and_what_is_new(
    catalogue: Catalogue, pool: PretendPool, root: Path
) -> None:
    await catalogue.activate("second")
    write_model(root, "third")
    assert (await catalogue.reload()).name == "first"
    assert catalogue.store.get("third").name == "third"
    (root / "CURRENT").write_text("third\n")
    assert (await catalogue.reload()).name == "third"
    (root / "CURRENT").unlink()
    with pytest.raises(BadModel, match="CURRENT"):
        await catalogue.reload()
    assert catalogue.store.default.name == "third"
    assert len(pool.warmed) == 3


async def test_two_at_a_time_take_turns(catalogue: Catalogue, pool: PretendPool) -> None:
    both = await asyncio.gather(catalogue.activate("second"), catalogue.activate("first"))
    assert [model.name for model in both] == ["second", "first"]
    assert pool.warmed == [both[0].id, both[1].id]
    assert catalogue.store.default == both[1]


async def test_a_model_whose_folder_has_gone_is_told_of_while_jobs_have_it(
    catalogue: Catalogue, pool: PretendPool, root: Path
) -> None:
    with catalogue.use(None) as promised:
        (root / "first").rename(root / ".first")
        await catalogue.activate("second")
        assert states(catalogue) == {"old": "stored", "second": "active", "first": "draining"}
    assert states(catalogue) == {"old": "stored", "second": "active"}
    assert pool.forgotten == [promised.id]
