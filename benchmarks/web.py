"""Benchmark of restoring in the browser: transferred bytes, milliseconds, memory, and long tasks of the page.

    python -m benchmarks.web --report docs/web.md

It needs Chromium (Debian's package `chromium`, or Chrome) and takes about three minutes on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.api.browser import BROWSER, Tab, browsing
from tests.web.static_host import StaticHost, hosting
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.jobs import CompressOptions
from virtual_codec.store import ModelStore
from virtual_codec.web import WebFile, WebSite

STORE: Final = Path(__file__).resolve().parent.parent / "model_store"
SECTION_MARKS: Final = (
    "<!-- figures: `python -m benchmarks.web --report docs/web.md` writes them -->",
    "<!-- end of figures -->",
)
LARGE: Final = (4000, 3000)  # 12 megapixels
REPEATS: Final = 3
PICTURES: Final = 20
LIMIT_S: Final = 300.0
START_S: Final = 5.0  # a browser is busy for seconds after its start
MIB: Final = 2**20

Pixels = NDArray[np.uint8]

PAGE: Final = """<!doctype html>
<script>Object.defineProperty(navigator, "hardwareConcurrency", { value: %d });</script>
<script type="module">
import { restore } from "/web/restore.js";
window.timed = async address => {
  const stream = await (await fetch(address)).arrayBuffer(), started = performance.now();
  await restore(stream);
  return performance.now() - started;
};
</script>"""
MANY_PICTURES_PAGE: Final = """<!doctype html>
<script>
window.long = [];
const note = list => long.push(...list.getEntries().map(entry => entry.duration));
new PerformanceObserver(note).observe({ type: "longtask" });
</script>
<script type="module" src="/web/restore.js"></script>"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--report", type=Path, help="Markdown page whose figures are replaced")
    report: Path | None = parser.parse_args().report
    if BROWSER is None:
        print("there is no Chromium on this machine", file=sys.stderr)
        return 1
    store = ModelStore(STORE)
    files = WebSite().model_files(store, store.default)
    text = "\n".join([*_sizes(files), "", *_measured(files, store)])
    if report is None:
        print(text)
    else:
        page = report.read_text(encoding="utf-8")
        before, rest = page.split(SECTION_MARKS[0])
        after = rest.split(SECTION_MARKS[1])[1]
        report.write_text(f"{before}{SECTION_MARKS[0]}\n\n{text}\n\n{SECTION_MARKS[1]}{after}", encoding="utf-8")
    return 0


def _sizes(files: list[WebFile]) -> list[str]:
    rows = ["| file | bytes | gzip |", "| --- | --- | --- |"]
    for file in files:
        name = file.path.rpartition("/")[2]
        rows.append(f"| `{name}` | {len(file.content):,} | {len(gzip.compress(file.content, 9)):,} |")
    return rows


def _measured(files: list[WebFile], store: ModelStore) -> list[str]:
    streams = _streams()
    with hosting(StaticHost(files)) as host, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        host.put("favicon.ico", b"")
        for name, stream in streams.items():
            host.put(f"{name}.jpg", stream)
        host.put("one.html", PAGE % 1)
        host.put("all.html", PAGE % (os.cpu_count() or 1))
        images = "".join(f'<img data-restore src="/scale-2.jpg?{n}" width=120 height=80>' for n in range(PICTURES))
        host.put("many.html", MANY_PICTURES_PAGE + images)
        with browsing(Path(folder)) as tab:
            tab.open(f"{host.url}/one.html")
            time.sleep(START_S)
            agent = tab.run("navigator.userAgent").rpartition("Chrome/")[2].partition(" ")[0]
            rows = ["| picture | first, one core | again, one core | again, all cores |", "| --- | --- | --- | --- |"]
            for name in ("scale-1", "scale-2"):
                one, every = _times(tab, host, "one", name), _times(tab, host, "all", name)
                rows.append(
                    f"| stream, {name.replace('-', ' ')}, 768x512 | {one[0]:.0f} ms | {min(one[1:]):.0f} ms "
                    f"| {min(every[1:]):.0f} ms |"
                )
            large = _large(tab, host)
            tab.open(f"{host.url}/many.html")
            tab.wait_for(f"document.querySelectorAll('[data-restore=done]').length == {PICTURES}")
            longest = max(tab.run("long"), default=0.0)
    width, height = LARGE
    return [
        *rows,
        f"| JPEG of another encoder, {width}x{height} | | | {large['seconds']:.1f} s |",
        "",
        (
            f"Memory of the browser above that of the idle page, during the {width}x{height} picture: "
            f"{large['peak'] / MIB:.0f} MiB, of which the decoded picture and the result are "
            f"{2 * 4 * width * height / MIB:.0f} MiB. Tasks above 50 ms on the main thread of a page with {PICTURES} "
            f"pictures: {f'the longest took {longest:.0f} ms' if longest else 'none'}."
        ),
        "",
        (
            f"Chromium {agent} without a window, {os.cpu_count()} cores ({_processor()}), model {store.default.name}, "
            f"load average {os.getloadavg()[0]:.1f} at the end."
        ),
    ]


def _times(tab: Tab, host: StaticHost, page: str, name: str) -> list[float]:
    tab.open(f"{host.url}/{page}.html")
    tab.wait_for("window.timed")
    return [float(tab.run(f"timed('/{name}.jpg')")) for _ in range(1 + REPEATS)]


def _large(tab: Tab, host: StaticHost) -> dict[str, float]:
    tab.open(f"{host.url}/all.html")
    tab.wait_for("window.timed")
    before = _memory_bytes()
    with _watching() as peaks:
        tab.run("timed('/large.jpg').then(ms => { window.took = ms }, error => { window.took = String(error) }) && 0")
        until = time.monotonic() + LIMIT_S
        while not tab.run("window.took"):
            if time.monotonic() > until:
                raise TimeoutError(f"the large picture took more than {LIMIT_S:.0f} s")
            time.sleep(0.5)
    return {"seconds": tab.run("took") / 1000, "peak": max(peaks) - before}


@contextmanager
def _watching() -> Iterator[list[int]]:
    """Memory of the browser in bytes, read ten times a second during a block."""
    peaks, stop = [_memory_bytes()], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            peaks.append(_memory_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def _memory_bytes() -> int:
    """Proportional set size (PSS) in bytes of all descendants of this process, which counts shared pages once."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    own, total = {os.getpid()}, 0
    while more := {child for child, parent in parents.items() if parent in own and child not in own}:
        own |= more
    for process in own - {os.getpid()}:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def _streams() -> dict[str, bytes]:
    codec = open_codec(STORE)
    try:
        picture = _picture(768, 512)
        return {
            "scale-1": _stream(codec, picture, scale=1, quality=50),
            "scale-2": _stream(codec, picture, scale=2, quality=15),
            "large": _jpeg(_picture(*LARGE)),
        }
    finally:
        codec.close()


def _picture(width: int, height: int) -> Image.Image:
    from skimage.data import coffee

    return Image.fromarray(coffee()).resize((width, height))  # type: ignore[no-untyped-call]


def _stream(codec: VirtualCodec, picture: Image.Image, *, scale: Any, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return codec.compress(file.getvalue(), CompressOptions(scale=scale, quality=quality)).stream


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=50)
    return file.getvalue()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    start = time.monotonic()
    code = main()
    print(f"took {time.monotonic() - start:.0f} s", file=sys.stderr)
    raise SystemExit(code)
