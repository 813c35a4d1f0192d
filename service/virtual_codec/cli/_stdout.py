"""Standard output of the command line after it has failed: closed by its reader, or on a full disk."""

from __future__ import annotations

import os
import sys


def discard_stdout() -> None:
    """Redirect stdout to the null device, so that Python's flush at exit does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def stdout_problem(error: OSError) -> str:
    """Describe the failure of stdout in a sentence."""
    if isinstance(error, BrokenPipeError):
        return "stdout was closed by its reader"
    return f"cannot write to stdout: {error.strerror or error}"
