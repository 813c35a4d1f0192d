"""Reading of input files and atomic writing of output files; `-` is stdin or stdout."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

STANDARD_STREAM: Final = Path("-")


def read(source: Path) -> bytes:
    """Read a regular file or stdin to its end. Raises `OSError` for other kinds of files, which might never end."""
    if source == STANDARD_STREAM:
        return sys.stdin.buffer.read()
    kind = source.stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # the error for a folder is more precise
        raise OSError(errno.EINVAL, 'not a regular file; pipe its content into "-"', str(source))
    return source.read_bytes()


def write(
    target: Path, content: bytes, *, force: bool = False, mode: int | None = None, mtime_ns: int | None = None
) -> None:
    """Write a file atomically. Raises `FileExistsError` if it already exists and `force` is false.

    `mode` are its permissions (None: those of the umask), `mtime_ns` its modification time (None: now).
    """
    if target == STANDARD_STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if is_device(target):
        target.write_bytes(content)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, f"{target.parent} is not a folder", str(target.parent)) from error
    part = target.with_name(f".vcodec-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
        if mode is not None:
            part.chmod(mode)
        if mtime_ns is not None:
            os.utime(part, ns=(mtime_ns, mtime_ns))
        if force:
            part.replace(target)
        else:
            _move_to_new(part, target)
    finally:
        part.unlink(missing_ok=True)


def is_device(target: Path) -> bool:
    """True if a path is neither file nor folder, such as /dev/null, which is written to and never replaced."""
    return target.exists() and not target.is_file() and not target.is_dir()


def _move_to_new(part: Path, target: Path) -> None:
    """Rename a file without replacing another: one created since the check stays."""
    try:
        os.link(part, target)
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, "exists; --force replaces it", str(target)) from error
    except OSError:  # a file system without hard links: hold the name with an empty file for a moment
        target.open("xb").close()
        try:
            part.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                target.unlink()
            raise
