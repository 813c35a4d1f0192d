from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

CODE = """
import resource
from virtual_codec.codec import open_codec
from virtual_codec.jobs import CompressOptions
from virtual_codec.store import default_model_store
from tests.pictures import opened, saved, scene

data = saved(scene(3000, 4000), compress_level=1)
codec = open_codec(default_model_store(), device="cpu")
for scale in (1, 2):
    stream = codec.compress(data, CompressOptions(scale=scale, effort=1)).stream
    assert opened(codec.restore(stream).image).shape == (3000, 4000, 3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_twelve_megapixels_fit_in_one_and_a_half_gigabytes() -> None:
    """With the released model, and with what the test itself holds of the picture."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    assert int(done.stdout) < 1.5e9
