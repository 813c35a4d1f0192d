"""Plain enlargement: PyTorch's bicubic filter, with a derivative by a fixed convolution."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from virtual_codec.networks import enlarge

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (17, 24)])
def test_the_filter_and_its_derivative_are_bicubic(size: tuple[int, int], scale: int, device: str) -> None:
    random = torch.Generator().manual_seed(3)
    picture = torch.rand(2, 3, *size, generator=random).to(device)
    weights = torch.randn(2, 3, *(scale * side for side in size), generator=random).to(device)
    mine, theirs = (picture.clone().requires_grad_() for _ in range(2))
    enlarged = enlarge(mine, scale)
    expected = functional.interpolate(theirs, scale_factor=scale, mode="bicubic", align_corners=False)
    assert torch.equal(enlarged, expected)
    assert torch.equal(enlarge(picture, scale), expected)
    (enlarged * weights).sum().backward()
    (expected * weights).sum().backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_the_derivative_repeats_to_the_bit(device: str) -> None:
    picture = torch.rand(1, 3, 33, 47, generator=torch.Generator().manual_seed(4)).to(device)

    def derivative() -> torch.Tensor:
        leaf = picture.clone().requires_grad_()
        enlarge(leaf, 2).square().sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    first = derivative()
    assert all(torch.equal(derivative(), first) for _ in range(20))
