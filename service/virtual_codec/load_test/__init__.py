"""Load for a server, and what came of it.

    pace ──► clients ──► server ──► samples ──► report
    closed: each client sends its next request when it has its answer
    open:   requests arrive by a schedule, whether or not there are answers

A server that is slow makes a closed loop ask less often, and the requests that were never sent are missing from
its percentiles. Arrivals of an open loop do not wait, and their latencies count from the moment at which they were
due, so what a request waited because others were slow is in them (no coordinated omission).
"""

from __future__ import annotations

from virtual_codec.load_test._arrivals import ARRIVALS
from virtual_codec.load_test._client import HttpSender, Request
from virtual_codec.load_test._pictures import MIXED, made_up_png, sizes_of
from virtual_codec.load_test._report import SCHEMA, Report, Window
from virtual_codec.load_test._run import Clock, Load, Sender, run_load
from virtual_codec.load_test._samples import Answer, Sample
from virtual_codec.load_test._search import find_rate
from virtual_codec.load_test._server import SERVE, own_server
from virtual_codec.load_test._table import table

__all__ = [
    "ARRIVALS",
    "MIXED",
    "SCHEMA",
    "SERVE",
    "Answer",
    "Clock",
    "HttpSender",
    "Load",
    "Report",
    "Request",
    "Sample",
    "Sender",
    "Window",
    "find_rate",
    "made_up_png",
    "own_server",
    "run_load",
    "sizes_of",
    "table",
]
