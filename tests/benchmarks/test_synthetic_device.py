"""Synthetic device: right shapes, and the time of a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.synthetic_device.alone import codec_alone
from benchmarks.synthetic_device.device import SyntheticDevice
from tests.models import make_store
from tests.pictures import saved, scene
from virtual_codec.codec import VirtualCodec
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.runner import DirectRunner, Task, run_error_gradient, run_network, run_network_to_bytes

VECTOR = np.zeros(CONDITION_SIZE, np.float32)


@pytest.mark.parametrize("key", ["postprocess-1", "postprocess-2", "description-1", "description-2"])
def test_results_have_the_shapes_of_a_network(tmp_path: Path, key: str) -> None:
    store = make_store(tmp_path, full_size=True)
    runner = DirectRunner(SyntheticDevice(0.0))
    network = runner.prepare(store, store.default, key)
    pixels = scene(64, 48)
    shape = (round(64 * network.ratio), round(48 * network.ratio), 3)
    assert run_network(runner, network, pixels, VECTOR).shape == shape
    made = run_network_to_bytes(runner, network, pixels, VECTOR)
    assert made.shape == shape
    assert made.dtype == np.uint8
    assert run_error_gradient(runner, network, pixels, VECTOR, made).shape == pixels.shape


def test_a_batch_takes_its_time_whatever_its_size(tmp_path: Path) -> None:
    slept: list[float] = []
    store = make_store(tmp_path)
    device = SyntheticDevice(0.002, sleep=slept.append)
    network = device.prepare(store, store.default, "postprocess-2")
    task = Task(network=network, pixels=scene(16, 16), condition=VECTOR, to_bytes=True)
    assert len(device.run([task] * 5, concurrent=0)) == 5
    assert slept == [0.002]


def test_a_codec_restores_with_it(tmp_path: Path) -> None:
    codec = VirtualCodec(make_store(tmp_path), DirectRunner(SyntheticDevice(0.0)))
    restored = codec.restore(saved(scene(40, 56), "JPEG", quality=50))
    assert (restored.width, restored.height) == (56, 40)


def test_the_codec_alone_is_measured_in_processes_of_its_own() -> None:
    found = codec_alone(32, 0.2)
    assert found["images_per_s"] > 0
    assert found["cpu_ms"] > 0
