"""JPEG codec for whole batches on one device: what training codes descriptions with where a device has to be kept busy.

    pictures ─► colour, DCT ─► levels (trellis) ─► decoded as libjpeg decodes          values
                    │              └─► entropy of the symbols                          bits
                    └─► smooth model of the quantiser ─► decoded                       derivative

It follows `virtual_codec.codecs` step by step. Streams are not written: bits are the entropy of the Huffman symbols and
the bits of the magnitudes, 1 to 4 % below those of a stream's scan. `CodingSettings` holds the settings of a batch.
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
