"""What only a device shows: whole jobs on it, repeatable bytes, agreement with the processor, two workers on one.

Everything that is quick runs on the processor, too, so that the tests themselves are tested.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.device.service import Load, load_with_a_kill, questions_of, wait_until_ready
from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.jobs import CompressOptions
from virtual_codec.load_test import temporary_server
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.runner import DirectRunner, open_device, run_error_gradient
from virtual_codec.store import ModelStore

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
PICTURE = saved(scene(96, 112))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("store"), full_size=True)


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def codec(store: ModelStore, device: str) -> VirtualCodec:
    return open_codec(store.root, device=device)


@pytest.mark.parametrize("options", [{"scale": "1"}, {"scale": "2"}, {"scale": "2", "effort": "5"}, {"effort": "0"}])
def test_jobs_repeat_to_the_byte_and_restore_as_on_the_processor(
    codec: VirtualCodec, store: ModelStore, options: dict[str, str]
) -> None:
    asked = CompressOptions.parse({"quality": "40", **options})
    stream = codec.compress(PICTURE, asked).stream
    assert codec.compress(PICTURE, asked).stream == stream
    restored = codec.restore(stream).image
    assert codec.restore(stream).image == restored
    with contextlib.closing(open_codec(store.root, device="cpu")) as processor:
        other = opened(processor.restore(stream).image).astype(np.int16)
    assert np.abs(opened(restored).astype(np.int16) - other).max() <= 4, "levels of 255; bfloat16 has 8 bits"


def test_a_gradient_is_the_same_twenty_times(store: ModelStore, device: str) -> None:
    runner = DirectRunner(open_device(device))
    network = runner.prepare(store, store.default, "postprocess-2")
    vector = np.linspace(-1, 1, CONDITION_SIZE, dtype=np.float32)
    first, *others = (
        run_error_gradient(runner, network, scene(40, 56), vector, scene(80, 112, seed=1)) for _ in range(20)
    )
    assert all((other == first).all() for other in others)


@pytest.mark.gpu
def test_bfloat16_is_a_matter_of_the_device_asked() -> None:
    with torch.autocast("cuda", torch.bfloat16):
        product = torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")
    assert product.dtype == torch.bfloat16
    assert torch.cuda.is_bf16_supported()


@pytest.mark.gpu
def test_two_workers_on_one_device_lose_one_and_answer(store: ModelStore, tmp_path: Path) -> None:
    environment = {
        "VCODEC_DEVICES": "cuda:0",
        "VCODEC_WORKERS_PER_DEVICE": "2",
        "VCODEC_MODEL_STORE": str(store.root),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    with temporary_server(environment=environment) as (url, server):
        _, restore = questions_of(url, 128, ["png"])
        load: Load = load_with_a_kill(url, restore, server, 8, 4.0)
        wait_until_ready(url)
        _, again = questions_of(url, 128, ["png"])
        assert again.request.content == restore.request.content
    statuses = load.report.statuses
    assert set(statuses) == {"200"}, "jobs of a worker that dies are done by another"
    assert statuses["200"] > 50
