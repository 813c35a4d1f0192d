from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models import Networks, make_store
from tests.pictures import scene
from virtual_codec.errors import BadModel
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.progress import progress_scope
from virtual_codec.runner import DirectRunner, Network, Processor, Task, run_network, run_network_to_bytes, tiles_of
from virtual_codec.store import ModelStore

VECTOR = np.linspace(-1, 1, CONDITION_SIZE, dtype=np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("store"), strength=0.2, full_size=True)


@pytest.fixture(scope="module")
def u_shaped(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("u-shaped"), strength=0.2, u_shaped=True)


@pytest.mark.parametrize("key", ["postprocess-1", "postprocess-2"])
def test_tiles_of_a_u_shaped_network_are_seamless(u_shaped: ModelStore, key: str) -> None:
    direct = DirectRunner()
    network = direct.prepare(u_shaped, u_shaped.default, key)
    pixels = scene(192, 256)
    whole = run_network(direct, network, pixels, VECTOR) / 255
    tiled = run_network(direct, network, pixels, VECTOR, core=24) / 255
    levels = np.abs(whole - tiled).max() * 255
    assert levels < 0.02, f"seams of {levels} levels"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """Networks as wide as released ones: minimal filtering, and convolutions that depend on the number of threads."""
    networks: Networks = {
        f"postprocess-{scale}": (
            "u-shaped-postprocess",
            {"scale": scale, "widths": "48-64", "down": "1-1", "up": "1"},
        )
        for scale in (1, 2)
    }
    networks["description-1"] = ("description", {"scale": 1, "channels": 24, "blocks": 3})
    return make_store(tmp_path_factory.mktemp("wide"), strength=0.05, networks=networks)


@pytest.mark.parametrize("key", ["postprocess-1", "postprocess-2"])
def test_tiles_of_a_wide_network_are_seamless(wide: ModelStore, key: str) -> None:
    direct = DirectRunner()
    network = direct.prepare(wide, wide.default, key)
    pixels = scene(112, 144)
    whole, tiled = (run_network(direct, network, pixels, VECTOR, core=core) for core in (512, 24))
    assert np.abs(whole - tiled).max() < 0.02


@pytest.mark.parametrize("key", ["postprocess-1", "postprocess-2", "description-1"])
def test_tiles_beside_others_keep_their_bits(wide: ModelStore, key: str) -> None:
    processor = Processor(threads=4)
    network = processor.prepare(wide, wide.default, key)
    for size in ((8, 16), (24, 48), (32, 32), (48, 64), (64, 96), (96, 96), (120, 136)):
        task = Task(network=network, pixels=scene(*size), condition=VECTOR)
        alone, *beside = (processor.run([task], concurrent=others)[0] for others in (0, 1, 3))
        for result in beside:
            np.testing.assert_array_equal(result, alone, err_msg=f"{size}")


@pytest.mark.parametrize("key", ["postprocess-1", "postprocess-2"])
def test_a_tiles_core_does_not_grow_with_the_multiple(store: ModelStore, u_shaped: ModelStore, key: str) -> None:
    flat, deep = (DirectRunner().prepare(of, of.default, key) for of in (store, u_shaped))
    assert deep.multiple == 4 * flat.multiple
    for length in (1000, 2048, 5000):
        cores = [
            {tile.keep_bottom - tile.keep_top for tile in tiles_of(network, (length, length), 512)}
            for network in (flat, deep)
        ]
        assert max(cores[1]) < max(cores[0]) + deep.multiple


@pytest.mark.parametrize("key", ["postprocess-1", "postprocess-2", "description-1", "description-2"])
def test_a_tiled_result_equals_the_whole_one(store: ModelStore, key: str) -> None:
    direct = DirectRunner()
    network = direct.prepare(store, store.default, key)
    pixels = scene(96, 128)
    whole = run_network(direct, network, pixels, VECTOR) / 255
    tiled = run_network(direct, network, pixels, VECTOR, core=16) / 255
    levels = np.abs(whole - tiled).max() * 255
    assert levels < 0.02, f"seams of {levels} levels"


def test_a_halo_narrower_than_the_radius_would_show(store: ModelStore) -> None:
    direct = DirectRunner()
    network = direct.prepare(store, store.default, "postprocess-1")
    blind = Network(module=network.module, ratio=1, radius=0, multiple=2, stride=2)
    pixels = scene(96, 128)
    whole = run_network(direct, network, pixels, VECTOR) / 255
    assert np.abs(whole - run_network(direct, blind, pixels, VECTOR, core=16) / 255).max() * 255 > 1


def test_bytes_are_the_rounded_and_clipped_floats(store: ModelStore) -> None:
    direct = DirectRunner()
    network = direct.prepare(store, store.default, "postprocess-2")
    pixels = scene(40, 24)
    floats = run_network(direct, network, pixels, VECTOR)
    expected = np.clip(np.rint(floats), 0, 255).astype(np.uint8)
    assert (run_network_to_bytes(direct, network, pixels, VECTOR) == expected).all()


def test_the_same_tile_gives_the_same_numbers(store: ModelStore) -> None:
    direct = DirectRunner()
    network = direct.prepare(store, store.default, "postprocess-1")
    pixels = scene(64, 64)
    first, second = (run_network(direct, network, pixels, VECTOR) for _ in range(2))
    assert (first == second).all()


def test_the_progress_of_a_picture_is_that_of_its_tiles(store: ModelStore) -> None:
    runner = DirectRunner()
    network = runner.prepare(store, store.default, "postprocess-1")
    heard: list[tuple[int, int]] = []
    condition = np.zeros(CONDITION_SIZE, np.float32)
    with progress_scope(lambda done, total: heard.append((done, total))):
        run_network(runner, network, scene(64, 96), condition, core=16)
    count = len(tiles_of(network, (64, 96), 16))
    assert count > 3
    assert heard == [(done, count) for done in range(1, count + 1)]
    run_network(runner, network, scene(64, 96), condition, core=16)
    assert len(heard) == count  # outside the scope nobody listens


def test_weights_that_do_not_fit_are_a_bad_model(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    entry = store.default.networks["postprocess-1"]
    wrong = replace(entry, arguments={"scale": 1, "channels": 4, "blocks": 1})
    manifest = replace(store.default, networks={"postprocess-1": wrong})
    with pytest.raises(BadModel, match="do not fit"):
        DirectRunner().prepare(store, manifest, "postprocess-1")
