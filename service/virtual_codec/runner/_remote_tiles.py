"""Tiles and networks in the device process, and the link to it, which is renewed if the process ends."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from virtual_codec.errors import DeviceLost
from virtual_codec.jobs import Abandoned
from virtual_codec.runner._device import Task
from virtual_codec.runner._link import Link, LinkError
from virtual_codec.runner._opened_network import OpenedNetwork, error_of
from virtual_codec.runner._shared_block import SharedBlock, TileShape, size_class

_RECONNECT_DELAY_S: Final = 0.05
_MAX_BLAMED: Final = 2  # number of processes that may end while they run a tile alone
_MAX_FREE_BYTES: Final = 64 * 2**20  # bytes of free blocks kept for later tiles


@dataclass(eq=False, kw_only=True)
class RemoteTile:
    """Tile in the device process, in a shared block.

    `is_wanted` is true while the tile's job waits for it. `was_lost` is true after a process with this tile ended; the
    tile then runs alone. `is_started` is true while it does, and `blamed` counts the processes that ended meanwhile.
    """

    number: int
    owner: int
    network: int
    shape: TileShape
    block: SharedBlock
    is_finished: threading.Event = field(default_factory=threading.Event)
    is_wanted: bool = True
    error: BaseException | None = None
    was_lost: bool = False
    is_started: bool = False
    blamed: int = 0


@final
class RemoteTiles:
    """Tiles in the device process. All methods may be called from several threads.

    One thread reads the link. If the link ends, the thread connects to the next device process and sends the unfinished
    tiles again, in new blocks, because the old process may still write to the old ones. Each of these tiles runs alone,
    so that a tile that ends the process can be identified.
    """

    def __init__(self, path: Path) -> None:
        self.notes: Mapping[str, str] = {}
        self.max_ahead = 1
        self.bytes_in_use = 0
        self.is_closed = False
        self._path = path
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._is_open = threading.Event()
        self._networks: dict[int, OpenedNetwork] = {}
        self._tiles: dict[int, RemoteTile] = {}
        self._free: list[SharedBlock] = []
        self._announced: set[SharedBlock] = set()  # on this link
        threading.Thread(target=self._run, name="device-link", daemon=True).start()

    def wait_until_open(self) -> None:
        """Wait until the device process answers."""
        self._is_open.wait()

    def open_network(self, number: int, model: str, key: str) -> OpenedNetwork:
        """Load a network in the device process, under a new number."""
        network = OpenedNetwork(model=model, key=key)
        with self._lock:
            self._networks[number] = network
            self._send_network(number, network)
        return network

    def close_network(self, number: int) -> None:
        """Free a network in the device process."""
        with self._lock:
            if self._networks.pop(number, None) is not None:
                self._send({"do": "close", "network": number})

    def add(self, task: Task, network: int, owner: int) -> RemoteTile:
        """Send a tile, for the job `owner`. Raises `Abandoned` when this is closed."""
        shape = _shape_of(task)
        with self._lock:
            if self.is_closed:
                raise Abandoned
            block = self._take_block(shape.bytes)
        _fill_block(block, shape, task)
        tile = RemoteTile(number=next(self._numbers), owner=owner, network=network, shape=shape, block=block)
        with self._lock:
            self._tiles[tile.number] = tile
            self._send_tile(tile)
        return tile

    def release(self, tile: RemoteTile) -> None:
        """Make the block of a finished tile available again, after its result was used."""
        with self._lock:
            self._release(tile.block)

    def forget(self, owner: int, tiles: Iterable[RemoteTile]) -> None:
        """Abandon the tiles of a job. Their blocks are reused when the device process no longer needs them."""
        with self._lock:
            for tile in tiles:
                tile.is_wanted = False
                if tile.number not in self._tiles:
                    self._release(tile.block)
            self._send({"do": "forget", "owner": owner})

    def close(self) -> None:
        """End the link for good; all tiles are finished then."""
        with self._lock:
            self.is_closed = True
            if self._link is not None:
                self._link.close()
            for tile in self._tiles.values():
                tile.is_finished.set()

    def _run(self) -> None:
        while not self.is_closed:
            link = self._connect()
            if link is None:
                return
            try:
                while (received := link.receive()) is not None:
                    self._on_message(received[0], link)
            except (OSError, LinkError, KeyError, TypeError, ValueError):
                pass  # the process ended or sent an invalid message; connect to the next one
            link.close()
            with self._lock:
                self._link = None
                self._free.clear()

    def _connect(self) -> Link | None:
        while not self.is_closed:
            try:
                return Link.connect(self._path)
            except OSError:
                time.sleep(_RECONNECT_DELAY_S)
        return None

    def _on_message(self, message: Mapping[str, Any], link: Link) -> None:
        match message["did"]:
            case "hello":
                self._on_hello(message, link)
            case "opened" | "refused" as answer:
                network = self._networks.get(message["network"])
                if network is not None and answer == "opened":
                    network.opened(message)
                elif network is not None:
                    network.refused(error_of(message))
            case "started":
                with self._lock:
                    if (tile := self._tiles.get(message["tile"])) is not None:
                        tile.is_started = True
            case "done" | "dropped":
                self._finish(message["tile"], None)
            case "failed":
                self._finish(message["tile"], error_of(message))

    def _on_hello(self, message: Mapping[str, Any], link: Link) -> None:
        with self._lock:
            self.notes = {str(name): str(text) for name, text in message["notes"].items()}
            self.max_ahead = 1 + int(message["max_items"])
            self._link = link
            self._announced = set()
            for number, network in self._networks.items():
                if network.outlived_process():
                    self._send_network(number, network)
            for tile in list(self._tiles.values()):
                self._send_again(tile)
        self._is_open.set()

    def _send_again(self, tile: RemoteTile) -> None:
        tile.blamed += tile.is_started
        tile.was_lost, tile.is_started = True, False
        if not tile.is_wanted or tile.blamed >= _MAX_BLAMED:
            del self._tiles[tile.number]
            tile.error = DeviceLost(f"the device's process ended {tile.blamed} times over one tile")
            self.bytes_in_use -= 0 if tile.is_wanted else tile.block.bytes
            tile.is_finished.set()
            return
        old, tile.block = tile.block, self._take_block(tile.shape.bytes)
        self.bytes_in_use -= old.bytes
        tile.block.copy_input(old, tile.shape)
        self._send_tile(tile)

    def _finish(self, number: int, error: BaseException | None) -> None:
        with self._lock:
            tile = self._tiles.pop(number, None)
            if tile is None:
                return
            tile.error = error
            if not tile.is_wanted:
                self._release(tile.block)
        tile.is_finished.set()

    def _take_block(self, size: int) -> SharedBlock:
        wanted = size_class(size)
        self.bytes_in_use += wanted
        for place in range(len(self._free) - 1, -1, -1):  # the most recently used block, which is in the CPU caches
            if self._free[place].bytes == wanted:
                return self._free.pop(place)
        return SharedBlock.create(wanted)

    def _release(self, block: SharedBlock) -> None:
        self.bytes_in_use -= block.bytes
        if block not in self._announced:
            return  # the block belongs to a link that has ended
        self._free.append(block)
        while sum(free.bytes for free in self._free) > _MAX_FREE_BYTES:
            oldest = self._free.pop(0)
            self._announced.discard(oldest)
            self._send({"do": "free", "block": oldest.number})

    def _send_network(self, number: int, network: OpenedNetwork) -> None:
        network.is_sent = self._link is not None
        self._send({"do": "open", "network": number, "model": network.model, "key": network.key})

    def _send_tile(self, tile: RemoteTile) -> None:
        if self._link is None:
            return  # `_on_hello` sends it when there is a link
        if tile.block not in self._announced:
            self._announced.add(tile.block)
            self._send({"do": "block", "block": tile.block.number}, [tile.block.descriptor])
        shape = tile.shape
        self._send(
            {
                "do": "run",
                "tile": tile.number,
                "owner": tile.owner,
                "network": tile.network,
                "block": tile.block.number,
                "height": shape.height,
                "width": shape.width,
                "conditions": shape.conditions,
                "to_bytes": shape.to_bytes,
                "target": shape.target,
                "alone": tile.was_lost,
            }
        )

    def _send(self, message: Mapping[str, object], descriptors: Iterable[int] = ()) -> None:
        """Send a message if there is a link. The reader thread notices a link that ends meanwhile."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.send(message, list(descriptors))


def _shape_of(task: Task) -> TileShape:
    target = None
    if task.target is not None:
        rows, columns = task.target.rows, task.target.columns
        target = (rows.start, rows.stop, columns.start, columns.stop)
    return TileShape(
        height=task.pixels.shape[0],
        width=task.pixels.shape[1],
        conditions=task.condition.shape[0],
        ratio=task.network.ratio,
        to_bytes=task.to_bytes,
        target=target,
    )


def _fill_block(block: SharedBlock, shape: TileShape, task: Task) -> None:
    np.copyto(block.condition(shape), task.condition)
    np.copyto(block.pixels(shape), task.pixels)
    if task.target is not None:
        np.copyto(block.wanted(shape), task.target.pixels)
