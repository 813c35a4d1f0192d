"""Caller of the device process: one codec process with its networks, shared blocks and tiles."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import numpy as np

from virtual_codec.errors import VirtualCodecError, is_out_of_memory
from virtual_codec.jobs import Abandoned
from virtual_codec.runner._batch_queue import BatchQueue, QueuedTile
from virtual_codec.runner._device import Task
from virtual_codec.runner._link import Link, LinkError, whole_number
from virtual_codec.runner._network import Network
from virtual_codec.runner._shared_block import SharedBlock, TileShape

_MAX_DETAIL: Final = 1000


@final
class Caller:
    """Connected codec process. It is not trusted: an invalid message ends its link, and nothing else."""

    def __init__(
        self,
        link: Link,
        queue: BatchQueue,
        find_network: Callable[[str, str], Network],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._link = link
        self._queue = queue
        self._find_network = find_network
        self._on_error = on_error
        self._networks: dict[int, Network] = {}
        self._named: dict[int, tuple[str, str]] = {}  # model and key of each network that is open, loaded or not
        self._blocks: dict[int, SharedBlock] = {}
        self._tiles: dict[int, dict[int, QueuedTile]] = {}  # by job, then by number
        self._lock = threading.Lock()

    def serve(self, hello: Mapping[str, object]) -> None:
        """Serve the caller until it leaves, then discard its waiting tiles."""
        try:
            self._link.send(hello)
            while (received := self._link.receive()) is not None:
                self._on_message(*received)
        except (OSError, LinkError, ValueError):
            pass
        finally:
            self._link.close()
            for owner in list(self._tiles):
                self._forget(owner)

    def _on_message(self, message: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        if descriptors and message.get("do") != "block":
            os.close(descriptors[0])
            raise LinkError("a descriptor without a block")
        match message.get("do"):
            case "open":
                self._open(whole_number(message, "network"), str(message.get("model")), str(message.get("key")))
            case "close":
                self._close(whole_number(message, "network"))
            case "block":
                self._add_block(whole_number(message, "block"), descriptors)
            case "free":
                self._blocks.pop(whole_number(message, "block"), None)
            case "run":
                self._run(message)
            case "forget":
                self._forget(whole_number(message, "owner"))
            case _:
                raise LinkError("an unknown message")

    def _open(self, number: int, model: str, key: str) -> None:
        self._named[number] = model, key
        try:
            network = self._network(number)
        except Exception as error:
            self._on_error(error)
            self._send({"did": "refused", "network": number, **_facts_of(error)})
            return
        facts = {"ratio": network.ratio, "radius": network.radius}
        facts |= {"multiple": network.multiple, "stride": network.stride}
        self._send({"did": "opened", "network": number, **facts})

    def _network(self, number: int) -> Network:
        """Network of that number. One that could not be loaded when it was opened is tried again."""
        network = self._networks.get(number)
        if network is None:
            if number not in self._named:
                raise RuntimeError("the network is not open")
            network = self._networks[number] = self._find_network(*self._named[number])
        return network

    def _close(self, number: int) -> None:
        self._named.pop(number, None)
        self._networks.pop(number, None)

    def _add_block(self, number: int, descriptors: Sequence[int]) -> None:
        if not descriptors:
            raise LinkError("a block without a descriptor")
        try:
            self._blocks[number] = SharedBlock(descriptors[0])
        except (OSError, ValueError) as error:
            os.close(descriptors[0])
            raise LinkError("an invalid block") from error

    def _run(self, message: Mapping[str, Any]) -> None:
        number, owner = whole_number(message, "tile"), whole_number(message, "owner")
        block = self._blocks.get(whole_number(message, "block"))
        if block is None:
            raise LinkError("a tile without a block")
        try:
            network = self._network(whole_number(message, "network"))
        except Exception as error:
            self._on_error(error)
            self._send({"did": "failed", "tile": number, **_facts_of(error)})
            return
        shape = _shape(message, network.ratio)
        if shape.bytes > block.bytes:
            raise LinkError("a tile that is larger than its block")
        task = Task(
            network=network,
            pixels=block.pixels(shape),
            condition=block.condition(shape),
            to_bytes=shape.to_bytes,
            target=block.target(shape),
        )
        tile = QueuedTile.of(task, (id(self), owner), lambda tile: self._finished(tile, number, owner, block, shape))
        if message.get("alone") is True:
            tile.exclusive = True
            tile.started = lambda: self._send({"did": "started", "tile": number})
        with self._lock:
            self._tiles.setdefault(owner, {})[number] = tile
        self._queue.add(tile)

    def _finished(self, tile: QueuedTile, number: int, owner: int, block: SharedBlock, shape: TileShape) -> None:
        """Send the result of a tile to the caller. Called by a batch thread, which must not wait for the caller."""
        with self._lock:
            self._tiles.get(owner, {}).pop(number, None)
        if tile.result is not None:
            try:
                np.copyto(block.result(shape), tile.result)
            except ValueError as error:  # the network's output does not have the size that its ratio states
                tile.error = error
        if tile.error is None:
            self._send({"did": "done", "tile": number})
            return
        if isinstance(tile.error, Abandoned):
            return  # the process ends
        self._on_error(tile.error)
        self._send({"did": "failed", "tile": number, **_facts_of(tile.error)})

    def _forget(self, owner: int) -> None:
        with self._lock:
            tiles = self._tiles.pop(owner, {})
            numbers = {tile: number for number, tile in tiles.items()}
        for tile in self._queue.forget((id(self), owner), list(numbers)):
            self._send({"did": "dropped", "tile": numbers[tile]})

    def _send(self, message: Mapping[str, object]) -> None:
        """Send a message. The link ends if the caller has gone or does not read."""
        try:
            self._link.send(message, wait=False)
        except OSError:
            self._link.close()


def _facts_of(error: BaseException) -> dict[str, object]:
    """Error as messages have it. Errors of the store are `expected`, and their text is for callers."""
    expected = isinstance(error, VirtualCodecError | KeyError)
    detail = str(error) if expected else f"{type(error).__name__}: {error}"
    return {"expected": expected, "memory": is_out_of_memory(error), "detail": detail[:_MAX_DETAIL]}


def _shape(message: Mapping[str, Any], ratio: float) -> TileShape:
    target = message.get("target")
    if target is not None:
        if not (isinstance(target, list) and len(target) == 4 and all(type(bound) is int for bound in target)):
            raise LinkError("an invalid target")
        target = (target[0], target[1], target[2], target[3])
    return TileShape(
        height=whole_number(message, "height"),
        width=whole_number(message, "width"),
        conditions=whole_number(message, "conditions"),
        ratio=ratio,
        to_bytes=message.get("to_bytes") is True,
        target=target,
    )
