"""Progress of a bulk run on stderr, and its JSON lines on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, final

if TYPE_CHECKING:
    from tqdm import tqdm

_LINE_EVERY_S: Final = 30.0


@dataclass(kw_only=True)
class Totals:
    """Totals of a run so far. `kept` is the number of files that earlier runs converted."""

    kept: int = 0
    done: int = 0
    failed: int = 0
    source_bytes: int = 0
    output_bytes: int = 0
    pixels: int = 0


@final
class Progress:
    """Printed lines of a run: errors, rate and time left on stderr; with `is_json`, a line for each file on stdout.

    A terminal shows a progress bar, other outputs a line every 30 seconds. With `is_quiet` only errors are printed.
    """

    def __init__(self, *, total: int, kept: int, is_json: bool, is_quiet: bool, shows_bar: bool) -> None:
        self.totals = Totals(kept=kept)
        self._total = total
        self._is_json = is_json
        self._is_quiet = is_quiet
        self._start = self._last_print = time.monotonic()
        # End of the first file: the workers' start before it does not count in the rate.
        self._first_end: float | None = None
        self._bar: tqdm[None] | None = None
        if shows_bar or (sys.stderr.isatty() and not is_quiet):
            from tqdm import tqdm

            nothing: Iterable[None] = ()
            self._bar = tqdm(nothing, total=total, initial=kept, unit="image", file=sys.stderr, dynamic_ncols=True)

    def add_done(self, facts: Mapping[str, object], *, source_bytes: int, output_bytes: int, pixels: int) -> None:
        """Count a converted file."""
        self.totals.done += 1
        self.totals.source_bytes += source_bytes
        self.totals.output_bytes += output_bytes
        self.totals.pixels += pixels
        if self._is_json:
            self._print(json.dumps(facts), sys.stdout)
        self._show_step()

    def add_failed(self, source: str, output: str, code: str, detail: str) -> None:
        """Count a failed file and print its error."""
        self.totals.failed += 1
        if self._is_json:
            error = {"code": code, "detail": detail}
            self._print(json.dumps({"input": source, "output": output, "error": error}), sys.stdout)
        self._print(f"vcodec: {printable(source)}: {detail}", sys.stderr)
        self._show_step()

    def close(self, workers: int) -> None:
        """Print the totals as the last line."""
        if self._bar is not None:
            self._bar.close()
        totals, seconds = self.totals, time.monotonic() - self._start
        rate = totals.pixels / 1e6 / seconds
        if self._is_json:
            sums = {
                "done": totals.done,
                "kept": totals.kept,
                "failed": totals.failed,
                "left": self._total - totals.done - totals.kept - totals.failed,
                "source_bytes": totals.source_bytes,
                "output_bytes": totals.output_bytes,
                "megapixels": round(totals.pixels / 1e6, 3),
                "seconds": round(seconds, 3),
                "workers": workers,
            }
            print(json.dumps({"summary": sums}), flush=True)
        if not self._is_quiet:
            text = f"{totals.done} done, {totals.kept} done before, {totals.failed} failed; "
            text += f"{totals.source_bytes / 1e6:.1f} MB -> {totals.output_bytes / 1e6:.1f} MB; "
            print(text + f"{rate:.2f} MP/s, {rate / workers:.2f} MP/s a worker", file=sys.stderr)

    def _show_step(self) -> None:
        now = time.monotonic()
        self._first_end = self._first_end or now
        rate = self.totals.pixels / 1e6 / max(now - self._start, 1e-9)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{rate:.1f} MP/s", refresh=False)
            self._bar.update()
        elif now - self._last_print >= _LINE_EVERY_S and now > self._first_end and not self._is_quiet:
            self._last_print = now
            ended = self.totals.done + self.totals.failed
            left = self._total - self.totals.kept - ended
            files_per_s = (ended - 1) / (now - self._first_end)
            text = f"vcodec: {self.totals.kept + ended} of {self._total} images, {files_per_s:.2f}/s, "
            print(text + f"{rate:.1f} MP/s, {_duration(left / files_per_s)} left", file=sys.stderr, flush=True)

    def _print(self, line: str, file: TextIO) -> None:
        if self._bar is None:
            print(line, file=file, flush=True)
        else:
            self._bar.write(line, file=file)


def printable(name: str) -> str:
    """Name with undecodable bytes escaped, so that every terminal can print it."""
    return name.encode("utf-8", "backslashreplace").decode()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
