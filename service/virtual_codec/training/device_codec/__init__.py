"""JPEG codec for whole batches on one device, with which training codes descriptions without leaving the device.

    pictures ─► colour, DCT ─► levels (trellis) ─► decoded as libjpeg decodes          values
                    │              └─► entropy of the symbols                          bits
                    └─► smooth model of the quantiser ─► decoded                       derivative

The steps are those of `virtual_codec.codecs`. No stream is written. The number of bits is the entropy of the Huffman
symbols plus the magnitude bits, 1 to 4 % below the bits of a stream's scan. `CodingSettings` holds the settings of a
batch.
"""

from __future__ import annotations

from virtual_codec.training.device_codec._codec import DeviceCodec
from virtual_codec.training.device_codec._settings import (
    CodingSettings,
    Subsampling,
    foreign_settings,
    own_settings,
)

__all__ = ["CodingSettings", "DeviceCodec", "Subsampling", "foreign_settings", "own_settings"]
