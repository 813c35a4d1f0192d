"""A picture that memory does not suffice for is no damaged one, whatever its decoder says."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Decodes a progressive JPEG of 6 megapixels, whose levels libjpeg holds, with more and more memory beside what the
# process has: first as Pillow does, then as `decode` does.
SCRIPT = """
import io, os, pathlib, resource
import numpy as np
from PIL import Image
from virtual_codec.errors import UndecodableImage
from virtual_codec.images import decode

def outcome(read, headroom):
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + headroom * 2**20, resource.RLIM_INFINITY))
    try:
        read(file)
        return "read"
    except (MemoryError, OSError, UndecodableImage) as error:
        return type(error).__name__
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

stream = io.BytesIO()
squares = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8).repeat(100, 0).repeat(100, 1)
Image.fromarray(squares).save(stream, "JPEG", progressive=True)
file = stream.getvalue()
decode(file)
for read in (lambda file: Image.open(io.BytesIO(file)).load(), decode):
    print(*(outcome(read, headroom) for headroom in (1, *range(20, 44, 4), 400)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_AS")
def test_too_little_memory_is_no_damage() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    by_pillow, by_us = (line.split() for line in told.splitlines())
    assert "OSError" in by_pillow, "broken data stream, it says"
    assert set(by_us) == {"MemoryError", "read"}, by_us
    assert by_us[0] == "MemoryError"
    assert by_us[-1] == "read"
