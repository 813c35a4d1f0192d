"""Callers that send real images through the load balancer, one request after the other, and hold it to its answers."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, final

import httpx2
from PIL import Image
from skimage import data

from tests.compose.stack import wait_for

_CLIENTS: Final = 4


def pictures() -> dict[str, bytes]:
    """Photographs in different formats and sizes, by name."""
    astronaut, cat, coffee = (Image.fromarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee"))
    files = {
        "astronaut.png": astronaut.resize((192, 192)),
        "cat.jpg": cat.resize((225, 150)),
        "coffee.webp": coffee.resize((300, 200)),
        "grey.png": cat.convert("L").resize((161, 163)),
    }
    return {name: _saved(picture, name) for name, picture in files.items()}


@final
@dataclass
class Traffic:
    """What came of the requests. `failures` says what was wrong with each that was not answered as it should be."""

    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _digests: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, response: httpx2.Response) -> None:
        """Check an answer: it is good, and the same bytes as every time before, whichever replica gave it."""
        if response.status_code != 200:
            self.failures.append(f"{name}: {response.status_code} {response.text[:200]}")
            return
        digest = hashlib.sha256(response.content).hexdigest()
        if self._digests.setdefault(name, digest) != digest:
            self.failures.append(f"{name}: other bytes than before")
        self.answered[name.partition(" ")[0]] += 1

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more requests have been answered."""
        enough = self.answered.total() + count
        wait_for(lambda: self.answered.total() >= enough, 600)


@contextmanager
def traffic(url: str) -> Iterator[Traffic]:
    """Four callers who compress and restore until the context ends."""
    seen = Traffic()
    is_over = threading.Event()
    files = list(pictures().items())

    def call(first: int) -> None:
        turn = first
        with httpx2.Client(base_url=url, timeout=900) as client:
            while not is_over.is_set():
                name, image = files[turn % len(files)]
                turn += 1
                try:
                    compressed = client.post("/compress?effort=1", content=image)
                    seen.take(f"/compress {name}", compressed)
                    restored = client.post("/decompress", files={"file": ("small.jpg", compressed.content)})
                    seen.take(f"/decompress {name}", restored)
                except httpx2.HTTPError as error:
                    seen.failures.append(f"{name}: {type(error).__name__} {error}")

    callers = [threading.Thread(target=call, args=(first,)) for first in range(_CLIENTS)]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        is_over.set()
        for caller in callers:
            caller.join()


def _saved(picture: Image.Image, name: str) -> bytes:
    file = io.BytesIO()
    form = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[name.rpartition(".")[2]]
    picture.save(file, form, **({"quality": 92} if form != "PNG" else {}))
    return file.getvalue()
