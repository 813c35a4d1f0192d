"""Load generator for HTTP servers: closed and open loops, percentiles, and a search for the highest rate.

    pace ──► clients ──► server ──► samples ──► report
    closed loop: each client sends its next request after its last answer
    open loop:   requests arrive by a schedule, independent of answers

In a closed loop a slow server receives fewer requests, and the requests that were not sent are missing from the
percentiles. In an open loop arrivals do not wait, and a latency counts from the time at which its request was due. It
therefore includes the wait for slow requests before it (no coordinated omission).
"""

from __future__ import annotations

from virtual_codec.load_test._arrivals import ARRIVALS
from virtual_codec.load_test._client import HttpSender, Request
from virtual_codec.load_test._pictures import MIXED, parse_sizes, synthetic_png
from virtual_codec.load_test._profile import LoadProfile
from virtual_codec.load_test._report import SCHEMA, Report, Window
from virtual_codec.load_test._run import Clock, Sender, run_load_test
from virtual_codec.load_test._samples import Answer, Sample
from virtual_codec.load_test._search import find_rate
from virtual_codec.load_test._server import SERVE, temporary_server
from virtual_codec.load_test._table import format_report

__all__ = [
    "ARRIVALS",
    "MIXED",
    "SCHEMA",
    "SERVE",
    "Answer",
    "Clock",
    "HttpSender",
    "LoadProfile",
    "Report",
    "Request",
    "Sample",
    "Sender",
    "Window",
    "find_rate",
    "format_report",
    "parse_sizes",
    "run_load_test",
    "synthetic_png",
    "temporary_server",
]
