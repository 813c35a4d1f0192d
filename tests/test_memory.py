"""What the C library does with freed memory, seen from outside: in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")

_MEBIBYTES_LEFT = """
import os, sys, threading
from virtual_codec.memory import return_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

def request():
    body = bytes(8 << 20)
    body = body.replace(b"\\0", b"1")  # touched
    kept.append(bytes(100_000))  # what lies behind it in an arena holds it there
    del body
    waiting.wait()

if sys.argv[1] == "returned":
    return_freed_memory()
kept = []
bytes(16 << 20)  # from which malloc learns that such sizes come again
before = resident()
waiting = threading.Barrier(8)
threads = [threading.Thread(target=request) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(resident() - before)
"""


def mebibytes_left(how: str) -> int:
    return int(subprocess.check_output([sys.executable, "-c", _MEBIBYTES_LEFT, how], text=True))


def test_the_bodies_of_requests_go_back_to_the_system() -> None:
    assert mebibytes_left("kept") > 20  # else this shows nothing
    assert mebibytes_left("returned") < 5
