"""A codec that needs no model: its stream is the image with a word before it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import final

from virtual_codec.cli import main
from virtual_codec.cli._image_codec import CodecConfig
from virtual_codec.errors import UndecodableImage
from virtual_codec.jobs import CompressOptions, CompressResult, LeftOut, RestoreOptions, RestoreResult
from virtual_codec.progress import report_progress


@final
class PrefixCodec:
    """`b"bad..."` cannot be decoded, `b"bug..."` meets a fault of ours, `b"^C..."` the user's Ctrl-C."""

    def __init__(self, delay_s: float = 0.0, *, tiles: int = 0) -> None:
        self.configs: list[CodecConfig] = []
        self.compress_options: list[CompressOptions] = []
        self.restore_options: list[RestoreOptions] = []
        self.delay_s = delay_s
        self.tiles = tiles
        self.is_closed = False
        self.left_out: tuple[LeftOut, ...] = ()

    def open(self, config: CodecConfig) -> PrefixCodec:
        self.configs.append(config)
        return self

    def compress(self, data: bytes, options: CompressOptions | None = None) -> CompressResult:
        self._stumble(data)
        options = options or CompressOptions()
        self.compress_options.append(options)
        for done in range(1, self.tiles + 1):
            time.sleep(0.03)  # a bar is drawn anew after 0.1 s
            report_progress(done, self.tiles)
        return CompressResult(
            stream=b"stream of " + data,
            media_type="image/jpeg",
            model="0a1b2c3d",
            scale=options.scale or 2,
            width=8,
            height=4,
            quality=options.quality or 50,
            psnr_db=31.25 if options.min_psnr else None,
            left_out=self.left_out,
        )

    def restore(self, data: bytes, options: RestoreOptions | None = None) -> RestoreResult:
        self._stumble(data)
        options = options or RestoreOptions()
        self.restore_options.append(options)
        return RestoreResult(
            image=b"image of " + data,
            media_type=f"image/{options.output}",
            model="0a1b2c3d",
            scale=2,
            width=8,
            height=4,
            rate_bpp=0.25,
        )

    def close(self) -> None:
        self.is_closed = True

    def _stumble(self, data: bytes) -> None:
        time.sleep(self.delay_s)
        if data.startswith(b"bad"):
            raise UndecodableImage("the image is truncated; send it whole")
        if data.startswith(b"bug"):
            raise ZeroDivisionError("division by zero")
        if data.startswith(b"^C"):
            raise KeyboardInterrupt


def make(**contents: str) -> None:
    """Write files of these contents; in a name, `__` stands for a slash and `_` for a dot."""
    for name, content in contents.items():
        path = Path(name.replace("__", "/").replace("_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def run(codec: PrefixCodec, line: str) -> int:
    """Exit status of a command line, its words apart by blanks."""
    return main(line.split(), open_codec=codec.open)
