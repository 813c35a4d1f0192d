from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from virtual_codec.networks import UShapedPostprocessNet, _minimal_filter, use_minimal_filtering
from virtual_codec.networks._minimal_filter import MinimalFilter
from virtual_codec.networks.condition import CONDITION_SIZE

CHANNELS = 48


@pytest.fixture(autouse=True)
def _wide_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_minimal_filter, "uses_wide_vectors", lambda: True)  # right on every machine, if slow on some


@pytest.fixture
def any_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def convolution() -> nn.Conv2d:
    torch.manual_seed(3)
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).requires_grad_(requires_grad=False)


def features(height: int, width: int) -> Tensor:
    made = torch.randn(1, CHANNELS, height, width, generator=torch.Generator().manual_seed(5))
    return made.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 4), (5, 9), (17, 33), (40, 64)])
def test_it_equals_the_convolution(size: tuple[int, int]) -> None:
    layer, given, addend = convolution(), features(*size), features(*size).flip(1)
    scale, shift = np.linspace(-1, 2, CHANNELS, dtype=np.float32), np.linspace(1, -1, CHANNELS, dtype=np.float32)
    minimal = MinimalFilter(layer)
    torch.testing.assert_close(minimal.added(given, addend), layer(given) + addend, rtol=0, atol=1e-4)
    film = layer(given) * torch.from_numpy(scale)[:, None, None] + torch.from_numpy(shift)[:, None, None]
    torch.testing.assert_close(minimal.scaled(given, scale, shift), film.relu(), rtol=0, atol=1e-4)


def test_features_in_planes_give_the_same() -> None:
    minimal, given = MinimalFilter(convolution()), features(12, 20)
    assert torch.equal(minimal.added(given.contiguous(), given.contiguous()), minimal.added(given, given))


@pytest.mark.parametrize("size", [(7, 13), (12, 12), (24, 33), (90, 70)])
def test_threads_change_no_bit(any_threads: None, size: tuple[int, int]) -> None:
    minimal, given = MinimalFilter(convolution()), features(*size)
    results = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        results.append(minimal.added(given, given))
    assert all(torch.equal(result, results[0]) for result in results)


def test_threads_that_cannot_start_change_no_bit(any_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    minimal, given = MinimalFilter(convolution()), features(90, 70)
    torch.set_num_threads(1)
    alone = minimal.added(given, given)
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    monkeypatch.setattr(_minimal_filter, "_threads", lambda: closed)
    torch.set_num_threads(2)
    assert torch.equal(minimal.added(given, given), alone)


def test_a_network_keeps_its_output_and_its_gradient() -> None:
    torch.manual_seed(7)
    network = UShapedPostprocessNet(scale=1, widths="48-64", down="1-1", up="1")
    nn.init.normal_(network.tail.weight, std=0.02)
    network.eval().requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    picture, condition = torch.rand(1, 3, 48, 64), torch.randn(1, CONDITION_SIZE)
    pair = torch.cat([picture, picture]), torch.cat([condition, condition])
    with torch.inference_mode():
        plain, batch = network(picture, condition), network(*pair)
    gradient = _gradient(network, picture, condition)
    use_minimal_filtering(network)
    with torch.inference_mode():
        minimal = network(picture, condition)
        torch.testing.assert_close(minimal, plain, rtol=0, atol=1e-4)
        assert not torch.equal(minimal, plain), "the convolutions were PyTorch's"
        assert torch.equal(network(*pair), batch)
    assert torch.equal(_gradient(network, picture, condition), gradient)


def _gradient(network: nn.Module, picture: Tensor, condition: Tensor) -> Tensor:
    given = picture.clone().requires_grad_()
    network(given, condition).square().sum().backward()
    assert given.grad is not None
    return given.grad


def test_other_precisions_and_narrow_trunks_keep_pytorchs_convolution() -> None:
    assert MinimalFilter.suits(convolution())
    assert not MinimalFilter.suits(convolution().to(torch.bfloat16))
    assert not MinimalFilter.suits(nn.Conv2d(32, 32, 3, padding=1))


def test_loops_for_any_processor_have_no_wide_vectors() -> None:
    asked = "from virtual_codec.compiled_loops import uses_wide_vectors; print(uses_wide_vectors())"
    for name, features, has_them in (("generic", "", False), ("x86-64-v3", "+avx2,+fma", True)):
        env = {**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
        done = subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(has_them)
