"""Networks of a model on a runner, and the plain filters that they are compared with."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Final, TypeVar, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.bitstream import JpegLayout, Quantisation
from virtual_codec.codec.operating import OperatingTable
from virtual_codec.manifest import is_restoring
from virtual_codec.networks.condition import codec_condition, condition
from virtual_codec.runner import Network, Runner, run_error_gradient, run_network, run_network_to_bytes
from virtual_codec.store import Manifest, ModelStore

_DESCRIPTION_KEY: Final = "description-{}"
_POSTPROCESS_KEY: Final = "postprocess-{}"

Sample = TypeVar("Sample", np.uint8, np.float32)


@final
class ModelNetworks:
    """Networks of one model, each prepared on the runner at its first use. Safe to use from several threads."""

    def __init__(self, store: ModelStore, manifest: Manifest, runner: Runner) -> None:
        self.manifest = manifest
        self._store = store
        self._runner = runner
        self._networks: dict[str, Network] = {}
        self._lock = threading.Lock()

    @cached_property
    def operating(self) -> OperatingTable:
        """Operating points of the model's qualities. Raises `BadModel` if the manifest lacks their tables."""
        return OperatingTable(self.manifest.tables)

    def describe(
        self, pixels: NDArray[np.uint8], scale: int, vector: NDArray[np.float32]
    ) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Description of an image at 1/scale size, 0 to 255: [H, W, 3] -> [h, w, 3], [H, W] -> [h, w].

        h = ceil(H / scale); `vector` is the condition of the stream that will be made. Pass a neutral image as a grey
        one, because the network may add colour to three equal channels.
        """
        key = _DESCRIPTION_KEY.format(scale)
        if key not in self.manifest.networks:
            return lanczos_reduced(pixels, scale)
        network = self._network(key)
        described = self._described(as_colour(pixels), scale, network, vector)
        return described if pixels.ndim == 3 else described.mean(axis=2)

    def restore(self, decoded: NDArray[np.uint8], scale: int, vector: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Restored image, `scale` times as large as `decoded`: [h, w, 3] or [h, w] -> the same kind.

        A neutral picture stays neutral.
        """
        if is_neutral(decoded):
            return as_colour(self.restore(decoded[..., 0], scale, vector))
        network = self._network(_POSTPROCESS_KEY.format(scale))
        height, width = decoded.shape[:2]
        padded = as_colour(_padded(decoded, network.multiple))
        restored = run_network_to_bytes(self._runner, network, padded, vector)[: height * scale, : width * scale]
        if decoded.ndim == 3:
            return restored
        return as_grey(restored)

    def error_gradient(
        self, decoded: NDArray[np.uint8], scale: int, vector: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Derivative of the restored image's squared error, summed over its samples (0 to 255), by `decoded`."""
        network = self._network(_POSTPROCESS_KEY.format(scale))
        height, width = decoded.shape[:2]
        padded = as_colour(_padded(decoded, network.multiple))
        wanted = as_colour(_filled(image, padded.shape[0] * scale, padded.shape[1] * scale))
        gradient = run_error_gradient(self._runner, network, padded, vector, wanted)[:height, :width]
        return gradient if decoded.ndim == 3 else np.ascontiguousarray(gradient.sum(axis=2))

    def warm(self) -> None:
        """Prepare all networks now, so that the first request does not wait for them."""
        self.warm_restoring()
        if not self.manifest.retired:
            for key in self.manifest.networks:
                self._network(key)

    def warm_restoring(self) -> None:
        """Prepare the post-processing networks of all scales now. Raises `BadModel` if one is damaged."""
        for key in filter(is_restoring, self.manifest.networks):
            self._network(key)

    def _described(
        self, pixels: NDArray[np.uint8], scale: int, network: Network, vector: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        height, width = (-(-side // scale) for side in pixels.shape[:2])
        whole = run_network(self._runner, network, _padded(pixels, network.multiple), vector)
        described = np.ascontiguousarray(whole[:height, :width])
        np.clip(described, 0, 255, out=described)
        return described

    def _network(self, key: str) -> Network:
        with self._lock:
            if key not in self._networks:
                self._networks[key] = self._runner.prepare(self._store, self.manifest, key)
            return self._networks[key]


def plain_restore(decoded: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Plain filter of stream version 1, frozen: Pillow's bicubic. [h, w(, 3)] -> [scale*h, scale*w(, 3)]."""
    if scale == 1:
        return decoded
    size = (decoded.shape[1] * scale, decoded.shape[0] * scale)
    return np.asarray(Image.fromarray(decoded).resize(size, Image.Resampling.BICUBIC))


def lanczos_reduced(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Description of a model without a description network: Pillow's Lanczos at 1/scale size."""
    if scale == 1:
        return pixels
    padded = _padded(pixels, scale)
    size = (padded.shape[1] // scale, padded.shape[0] // scale)
    return np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.LANCZOS))


def condition_of(layout: JpegLayout, *, own: bool) -> NDArray[np.float32]:
    """Condition vector of a stream, from its layout; `own` is true if this encoder made it."""
    return condition(layout.tables[:3], subsampled=len(set(layout.sampling)) > 1, own=own)


def condition_of_quantisation(found: Quantisation) -> NDArray[np.float32]:
    """Condition vector of a WebP, AVIF or JPEG 2000 stream, from the quantisation in its headers."""
    return codec_condition(
        found.codec,
        luma=found.luma,
        chroma=found.chroma,
        subsampled=found.is_subsampled,
        grey=found.is_grey,
        filter_level=found.filter_level,
    )


def is_neutral(pixels: NDArray[np.uint8]) -> bool:
    """True if a colour picture ([h, w, 3]) has equal channels everywhere."""
    return pixels.ndim == 3 and _has_equal_channels(pixels[::16, ::16]) and _has_equal_channels(pixels)


def as_colour(pixels: NDArray[Sample]) -> NDArray[Sample]:
    """Three-channel picture: [h, w] -> [h, w, 3] with equal channels; a colour picture unchanged."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def as_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Picture of one channel: the rounded mean of three; a grey picture unchanged."""
    if pixels.ndim == 2:
        return pixels
    grey: NDArray[np.uint8] = np.rint(pixels.mean(axis=2, dtype=np.float32)).astype(np.uint8)
    return grey


def _has_equal_channels(pixels: NDArray[np.uint8]) -> bool:
    return all(np.array_equal(pixels[..., 0], pixels[..., channel]) for channel in (1, 2))


def _padded(pixels: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Picture with its edges replicated below and to the right, to multiples."""
    below, right = (-side % multiple for side in pixels.shape[:2])
    if not (below or right):
        return pixels
    return np.pad(pixels, [(0, below), (0, right), (0, 0)][: pixels.ndim], mode="edge")


def _filled(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Picture with its edges replicated below and to the right, to a size."""
    missing = [(0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)]
    return np.pad(pixels, missing[: pixels.ndim], mode="edge")
