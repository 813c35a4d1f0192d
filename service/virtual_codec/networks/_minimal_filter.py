"""3x3 convolutions of float32 features on CPUs by Winograd's minimal filtering.

F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308: a block of 4x4
outputs takes 36 multiplications for each pair of channels, not 144. Its patch of 6x6 features is transformed, each of
the 36 numbers is multiplied with a matrix over the channels, and the products are transformed to the block.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from virtual_codec.compiled_loops import uses_wide_vectors
from virtual_codec.cores import usable_cores
from virtual_codec.networks._minimal_transforms import WEIGHTS, to_blocks_of, to_planes_of

_BLOCK: Final = 4  # outputs on a side of a block
_PLANES: Final = 36  # numbers of a transformed patch
# Numbers of a plane for a strip of blocks. Two buffers of 36 such planes stay near the core's cache, and planes whose
# distance is no multiple of 4 KB do not compete for the same lines of it.
_PLANE_NUMBERS: Final = 4224
_FEWEST_CHANNELS: Final = 40  # 32 channels gain nothing

Floats = NDArray[np.float32]


@final
class MinimalFilter:
    """3x3 convolution with as many output as input channels, stride 1 and zeros around the picture, without gradient.

    The weights of `convolution` must not change afterwards. Results differ from the convolution's by 1e-5 of the
    largest feature. They do not depend on the number of threads.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        assert convolution.bias is not None
        transform = torch.tensor(WEIGHTS, dtype=torch.float64)
        weights = torch.einsum("ai,ocij,bj->abco", transform, convolution.weight.double(), transform)
        self._weights = weights.flatten(0, 1).float().contiguous()
        self._bias: Floats = convolution.bias.float().numpy()
        self._channels = convolution.in_channels
        self._blocks = _PLANE_NUMBERS // self._channels | 1
        self._to_planes = to_planes_of(self._channels, self._blocks)
        self._to_blocks = to_blocks_of(self._channels, self._blocks)

    @property
    def nbytes(self) -> int:
        """Memory of the transformed weights: four times that of the convolution's weights."""
        return self._weights.nbytes

    @staticmethod
    def suits(convolution: nn.Conv2d) -> bool:
        """True if minimal filtering is faster than PyTorch's convolution: float32 on an x86-64 CPU with AVX2."""
        weight = convolution.weight
        is_float32 = weight.device.type == "cpu" and weight.dtype == torch.float32
        return is_float32 and convolution.in_channels >= _FEWEST_CHANNELS and uses_wide_vectors()

    def scaled(self, features: Tensor, scale: Floats, shift: Floats) -> Tensor:
        """Convolution, scaled, shifted and rectified: [1, C, h, w] and [C] -> [1, C, h, w], channels last."""
        return self._convolved(features, scale, scale * self._bias + shift, None)

    def added(self, features: Tensor, addend: Tensor) -> Tensor:
        """Sum of the convolution and an addend, both [1, C, h, w] -> [1, C, h, w], channels last."""
        return self._convolved(features, np.ones_like(self._bias), self._bias, _pixels(addend))

    def _convolved(self, features: Tensor, scale: Floats, shift: Floats, addend: Floats | None) -> Tensor:
        height, width = features.shape[2:]
        across = -(-width // _BLOCK)
        count = -(-height // _BLOCK) * across
        source = _pixels(features)
        output = torch.empty_like(features, memory_format=torch.channels_last)
        target = _pixels(output)

        def convolve(strips: range) -> None:
            planes = torch.empty(_PLANES, self._blocks, self._channels)
            products = torch.empty_like(planes)
            flat_planes, flat_products = planes.flatten().numpy(), products.flatten().numpy()
            scratch = np.empty(2 * _PLANES * self._channels, np.float32)
            for strip in strips:
                first = strip * self._blocks
                here = min(self._blocks, count - first)
                self._to_planes(source, first, here, across, flat_planes, scratch)
                torch.bmm(planes[:, :here], self._weights, out=products[:, :here])
                self._to_blocks(flat_products, first, here, across, scale, shift, addend, target, scratch)

        _divide(convolve, -(-count // self._blocks))
        return output


def _pixels(features: Tensor) -> Floats:
    """Features [1, C, h, w] as an array [h, w, C], without a copy if they are channels last in memory."""
    pixels: Floats = features.contiguous(memory_format=torch.channels_last)[0].permute(1, 2, 0).numpy()
    return pixels


def _divide(work: Callable[[range], None], count: int) -> None:
    """Divide `count` pieces of work between as many threads as PyTorch may use here.

    PyTorch has one thread within a piece of work, because its matrix product with more has other bits.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        work(range(count))
        return
    threads = min(threads, count)
    shares = [range(count * index // threads, count * (index + 1) // threads) for index in range(threads)]
    for done in [_submitted(work, share) for share in shares]:
        done.result()


def _submitted(work: Callable[[range], None], share: range) -> Future[None]:
    """Future of a share. At the interpreter's exit, and without memory for a thread, it is done here instead."""
    try:
        return _threads().submit(work, share)
    except RuntimeError:
        torch.set_num_threads(1)
        work(share)
    done: Future[None] = Future()
    done.set_result(None)
    return done


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), "convolution", initializer=lambda: torch.set_num_threads(1))
