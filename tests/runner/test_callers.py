"""Callers of a device's process are trusted with nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runner.test_remote import any_network, obedient, remote, tile, values
from virtual_codec.runner._link import Link
from virtual_codec.runner._shared_block import SharedBlock, TileShape


@pytest.mark.parametrize(
    "message",
    [
        {"do": "dance"},
        {"do": "run", "tile": 1, "owner": 1, "network": 0, "block": 7},
        {"do": "open", "network": -1, "model": "x", "key": "y"},
        {"do": "block", "block": 1},
        {"no": "verb"},
    ],
)
def test_a_message_that_is_none_ends_its_link_and_no_other(tmp_path: Path, message: dict[str, object]) -> None:
    _, store = obedient(tmp_path)
    hostile = Link.connect(tmp_path / "socket")
    assert hostile.receive() is not None
    hostile.send(message)
    assert hostile.receive() is None
    hostile.close()
    with remote(tmp_path / "socket") as runner:
        assert values(runner, [tile(any_network(runner, store), 1)]) == [2]


def test_a_block_whose_size_may_change_is_refused(tmp_path: Path) -> None:
    obedient(tmp_path)
    hostile = Link.connect(tmp_path / "socket")
    assert hostile.receive() is not None
    with (tmp_path / "file").open("w+b") as file:
        file.truncate(2**16)
        hostile.send({"do": "block", "block": 1}, [file.fileno()])
        assert hostile.receive() is None
    hostile.close()


def test_a_tile_that_is_larger_than_its_block_is_refused(tmp_path: Path) -> None:
    _, store = obedient(tmp_path)
    hostile = Link.connect(tmp_path / "socket")
    assert hostile.receive() is not None
    hostile.send({"do": "open", "network": 0, "model": store.default.id, "key": "postprocess-1"})
    assert hostile.receive() is not None
    block = SharedBlock.create(1)
    hostile.send({"do": "block", "block": 1}, [block.descriptor])
    sizes = {"height": 10**6, "width": 10**6, "conditions": 0, "to_bytes": True, "target": None}
    hostile.send({"do": "run", "tile": 0, "owner": 0, "network": 0, "block": 1, **sizes})
    assert hostile.receive() is None
    hostile.close()


def test_a_block_has_room_for_all_parts_of_a_tile() -> None:
    shape = TileShape(height=5, width=7, conditions=3, ratio=2, to_bytes=True, target=(0, 10, 2, 14))
    block = SharedBlock.create(shape.bytes)
    parts = (block.condition(shape), block.pixels(shape), block.wanted(shape), block.result(shape))
    for number, part in enumerate(parts, 1):
        part[...] = number
    assert [part.shape for part in parts] == [(3,), (5, 7, 3), (10, 12, 3), (5, 7, 3)]
    for number, part in enumerate(parts, 1):
        assert (part == number).all()
