from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from virtual_codec.tiles import tiles


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    core=st.integers(8, 120),
    halo=st.integers(0, 40),
    multiple=st.sampled_from([1, 2]),
)
def test_every_pixel_is_kept_once_and_seen_with_its_halo(
    height: int, width: int, core: int, halo: int, multiple: int
) -> None:
    core, halo = core * multiple, halo * multiple
    kept = np.zeros((height, width), int)
    for tile in tiles(height, width, core=core, halo=halo, multiple=multiple):
        kept[tile.keep_top : tile.keep_bottom, tile.keep_left : tile.keep_right] += 1
        assert tile.keep_bottom - tile.keep_top <= core
        assert tile.keep_right - tile.keep_left <= core
        assert tile.top == max(0, tile.keep_top - halo)
        assert tile.bottom == min(height, tile.keep_bottom + halo)
        assert tile.left % multiple == tile.top % multiple == 0
    assert (kept == 1).all()


def test_a_large_picture_is_cut_into_tiles_of_few_shapes() -> None:
    shapes = {
        (tile.bottom - tile.top, tile.right - tile.left) for tile in tiles(3000, 4000, core=512, halo=28, multiple=2)
    }
    assert len(shapes) <= 9
