"""Coding of batches: levels by the compiled quantiser, decoded pictures, bits, and the smooth model's derivative."""

from __future__ import annotations

from typing import Final, final

import torch
from torch import Tensor

from virtual_codec.codecs import SSIM_ENERGY, JpegSettings
from virtual_codec.networks.differentiable import kept_levels, soft_round, with_forward
from virtual_codec.training.device_codec._kernels import load_quantiser
from virtual_codec.training.device_codec._planes import Component, components_of, pictures_of
from virtual_codec.training.device_codec._settings import CodingSettings

_CHROMA_TRELLIS: Final = JpegSettings(step=1.0).chroma_trellis
_TRELLIS_PASSES: Final = JpegSettings(step=1.0).passes
_LONGEST_CODE: Final = 16


@final
class DeviceCodec:
    """JPEG codec of batches on a device. Raises `BadOption` if its quantiser cannot be compiled.

    Pictures are [B, 3, h, w] in [0, 1], h and w multiples of 16. Autocast has no effect.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._quantiser = load_quantiser(self.device)
        self._magnitude_bits = torch.tensor([symbol & 15 for symbol in range(256)], device=self.device).float()

    @torch.no_grad()
    def code(self, pictures: Tensor, settings: CodingSettings) -> tuple[Tensor, Tensor]:
        """Decoded pictures and bits [B]. No gradient."""
        with torch.autocast(self.device.type, enabled=False):
            components = components_of(pictures.float(), settings.subsampling)
            levels, bits = self._quantised(components, settings)
            return self._decoded(levels, settings, pictures), bits

    def code_differentiably(
        self, pictures: Tensor, settings: CodingSettings, *, follows_trellis: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded pictures, bits [B] and rate [B].

        The decoded pictures have the derivative of the smooth model (`virtual_codec.networks.differentiable`), which
        follows the trellis or plain rounding. The rate has that derivative too, and the value of the bits.
        """
        with torch.autocast(self.device.type, enabled=False):
            components = components_of(pictures.float(), settings.subsampling)
            levels, bits = self._quantised(components, settings)
            smooth, rate = [], torch.zeros_like(bits)
            for component, table, each in zip(components, _tables_of(settings), levels, strict=True):
                values = component.coefficients / table[:, None, None]
                rate = rate + torch.log2(1 + 4 * values.square()).sum(dim=(1, 2, 3))
                rounded = kept_levels(values, each) if follows_trellis else soft_round(values)
                smooth.append(rounded * table[:, None, None])
            size = (pictures.shape[2], pictures.shape[3])
            linear = pictures_of(smooth, settings.subsampling, size, exact=False)
            with torch.no_grad():
                decoded = self._decoded(levels, settings, pictures)
            return with_forward(linear, decoded), bits, rate * (bits / rate).detach()

    def _decoded(self, levels: list[Tensor], settings: CodingSettings, pictures: Tensor) -> Tensor:
        coded = [each * table[:, None, None] for each, table in zip(levels, _tables_of(settings), strict=True)]
        return pictures_of(coded, settings.subsampling, (pictures.shape[2], pictures.shape[3]), exact=True)

    @torch.no_grad()
    def _quantised(self, components: list[Component], settings: CodingSettings) -> tuple[list[Tensor], Tensor]:
        """Levels [B, C, blocks, 64] of each component, as floats, and bits [B]."""
        weights = _block_weights(components[0], settings.masking) if settings.own else (None, None)
        levels, bits = [], torch.zeros(len(settings), device=self.device)
        for index, (component, table) in enumerate(zip(components, _tables_of(settings), strict=True)):
            multiplier = settings.multiplier * (_CHROMA_TRELLIS if index else 1)
            coefficients = component.coefficients.detach().contiguous()
            found, spent = self._levels(coefficients, table.contiguous(), weights[index], multiplier)
            levels.append(found.float())
            bits = bits + spent
        return levels, bits

    def _levels(
        self, coefficients: Tensor, table: Tensor, weight: Tensor | None, multiplier: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Levels of coefficients [B, C, blocks, 64] by tables [B, 64], and bits [B].

        `weight` [B, blocks] is the weight of squared errors in the trellis. Without it the levels are rounded.
        """
        batch, channels, length, _ = coefficients.shape
        count, per_picture = batch * channels * length, channels * length
        levels = torch.empty(coefficients.shape, dtype=torch.int16, device=self.device)
        last = torch.empty((batch, channels, length), dtype=torch.int32, device=self.device)
        run = self._quantiser.run
        run("round_blocks", count, per_picture, coefficients, table, levels, last)
        if weight is not None:
            weights = weight[:, None].expand(batch, channels, length).contiguous()
            came_from = torch.empty((batch, channels, length, 3), dtype=torch.uint8, device=self.device)
            for _ in range(_TRELLIS_PASSES):
                ac, dc = (
                    (self._symbol_costs(each) * multiplier[:, None]).contiguous() for each in self._counts(levels, last)
                )
                run("quantise_ac", count, per_picture, coefficients, table, weights, ac, levels, last)
                run(
                    "quantise_dc",
                    batch * channels,
                    length,
                    channels,
                    coefficients,
                    table,
                    weights,
                    dc,
                    came_from,
                    levels,
                )
        ac, dc = self._counts(levels, last)
        return levels, self._entropy_bits(ac) + self._entropy_bits(dc)

    def _counts(self, levels: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Counts of AC and DC symbols, [B, 256] each."""
        batch, channels, length, _ = levels.shape
        counts = torch.zeros((2, batch, 256), dtype=torch.int32, device=self.device)
        per_picture = channels * length
        self._quantiser.run("count_symbols", batch * per_picture, length, per_picture, levels, last, *counts)
        ac, dc = counts.float()
        return ac, dc

    def _symbol_costs(self, counts: Tensor) -> Tensor:
        """Estimated bits of each symbol with its magnitude bits: [B, 256] -> [B, 256].

        `virtual_codec.codecs` uses the code lengths of an optimal Huffman code; here the entropy stands for them.
        """
        share = (counts + 0.25) / (counts.sum(dim=1, keepdim=True) + 1)
        return (-share.log2()).clamp(1, _LONGEST_CODE) + self._magnitude_bits + 8 / (counts + 1)

    def _entropy_bits(self, counts: Tensor) -> Tensor:
        """Entropy of the symbols and bits of their magnitudes: [B, 256] -> [B]."""
        share = counts.clamp_min(1e-9) / counts.sum(dim=1, keepdim=True).clamp_min(1)
        return (counts * ((-share.log2()).clamp(0.05, _LONGEST_CODE) + self._magnitude_bits)).sum(dim=1)


def _tables_of(settings: CodingSettings) -> list[Tensor]:
    """Tables of the components, [B, 64] each."""
    return [settings.luma] if settings.subsampling == "grey" else [settings.luma, settings.chroma]


def _block_weights(luma: Component, masking: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of squared errors in luma and in chroma blocks, [B, blocks] each, as in `virtual_codec.codecs`."""
    energy = luma.coefficients[:, 0, :, 1:].detach().square().sum(dim=2) + SSIM_ENERGY
    logarithm = -masking[:, None] * energy.log()
    weight = (logarithm - logarithm.mean(dim=1, keepdim=True)).exp()
    side = luma.side
    mcus = weight.view(len(weight), -1, side, luma.columns // side, side).mean(dim=(2, 4))
    return weight, mcus.flatten(1)
