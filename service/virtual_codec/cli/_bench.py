"""`vcodec bench`: throughput and latency of a server under load."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from virtual_codec import interrupts
from virtual_codec.cli._image_codec import OpenCodec
from virtual_codec.cli._inputs import check_exists
from virtual_codec.cli._verb import Misuse, Verb, positive, positive_number, positive_seconds
from virtual_codec.errors import VirtualCodecError
from virtual_codec.load_test import (
    ARRIVALS,
    HttpSender,
    LoadProfile,
    Report,
    Request,
    find_rate,
    format_report,
    run_load_test,
    temporary_server,
)

_TASKS: Final = {"compress": ("/compress",), "decompress": ("/decompress",), "both": ("/compress", "/decompress")}
_CLOSED_CLIENTS: Final = 4
_OPEN_CLIENTS: Final = 512
_EPILOG: Final = """\
Without --rate the load is a closed loop: each client sends its next request after its last answer. With --rate it is
an open loop: requests arrive at that rate, and a latency counts from the time at which the request was due.
--find-rate searches for the highest rate at which 99 % of the answers have a latency of at most --limit.
docs/benchmarking.md explains the figures.

  vcodec bench --task decompress --clients 16
  vcodec bench --task both --sizes mixed --rate 5 --seconds 60 --limit 2000 --json
  vcodec bench photos/*.png --url http://10.0.0.7:8000 --header 'X-API-Key: ...' --find-rate --limit 1000"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="*",
        type=Path,
        metavar="IN",
        help="images to send in turn (default: generated pictures of --sizes)",
    )
    parser.add_argument("--url", help="URL of a running server (default: start a server for the test)")
    parser.add_argument("--task", choices=tuple(_TASKS), default="compress", help="kind of requests (default compress)")
    parser.add_argument(
        "--sizes",
        default="768x512",
        metavar="WxH,...",
        help="sizes of the generated pictures in pixels, or `mixed` (default 768x512)",
    )
    parser.add_argument(
        "--seconds",
        type=positive_seconds,
        default=15.0,
        metavar="S",
        help="duration of the measurement in seconds (default 15)",
    )
    parser.add_argument(
        "--clients",
        type=positive,
        metavar="N",
        help=f"requests in flight (default {_CLOSED_CLIENTS}), or at most with --rate (default {_OPEN_CLIENTS})",
    )
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=positive_number, metavar="R", help="send R requests per second (open loop)")
    pace.add_argument(
        "--find-rate", action="store_true", help="search for the highest rate that keeps --limit, in 7 runs"
    )
    parser.add_argument(
        "--arrivals",
        choices=tuple(ARRIVALS),
        default="poisson",
        help="distribution of the arrivals of --rate (default poisson)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the Poisson arrivals (default 0)")
    parser.add_argument(
        "--limit",
        type=positive_number,
        metavar="MS",
        help="largest latency in milliseconds of an answer that counts as goodput",
    )
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=130.0,
        metavar="S",
        help="longest wait for an answer in seconds (default 130)",
    )
    parser.add_argument(
        "--options", default="", metavar="QUERY", help="options of /compress as a URL query: quality=30&effort=1"
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="header of each request; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    headers = dict(_header(text) for text in arguments.header)
    if arguments.find_rate and arguments.limit is None:
        raise Misuse("--find-rate needs --limit MS, the latency to keep")
    for path in arguments.inputs:
        check_exists(path, "IN")
    pictures = _pictures(arguments)
    interrupts.raise_keyboard_interrupt()
    with contextlib.nullcontext((arguments.url, 0)) if arguments.url else temporary_server() as (url, _):
        try:
            sender = HttpSender(url, headers=headers, timeout_s=arguments.timeout)
        except ValueError as error:
            raise Misuse(str(error)) from error
        with contextlib.closing(sender):
            _check_listener(sender, pictures[0], url)
            profile = _profile(arguments, _requests(arguments, pictures, sender))
            report = _search(profile, sender) if arguments.find_rate else run_load_test(profile, sender)
    print(json.dumps(report.as_dict()) if arguments.json else format_report(report))
    return 0 if set(report.statuses) == {"200"} else 1


def _check_listener(sender: HttpSender, picture: Request, url: str) -> None:
    """Send one request to check that a server answers. Raises `VirtualCodecError` if none does."""
    answer = sender.send(picture)
    if not answer.status.isdigit():
        raise VirtualCodecError(f"no server answers at {url}: {answer.failure or answer.status}")


def _pictures(arguments: argparse.Namespace) -> Sequence[Request]:
    """Requests to /compress, one for each image."""
    from virtual_codec.load_test import parse_sizes, synthetic_png

    path = f"/compress?{arguments.options}" if arguments.options else "/compress"
    if arguments.inputs:
        return [Request(path=path, content=file.read_bytes(), label=file.name) for file in arguments.inputs]
    try:
        sizes = parse_sizes(arguments.sizes)
    except ValueError as error:
        raise Misuse(f"--sizes: {error}") from error
    return [
        Request(path=path, content=synthetic_png(width, height), label=f"{width}x{height}", pixels=width * height)
        for width, height in sizes
    ]


def _requests(arguments: argparse.Namespace, pictures: Sequence[Request], sender: HttpSender) -> Sequence[Request]:
    if arguments.task == "compress":
        return pictures
    restores = [_restore_of(picture, sender) for picture in pictures]
    if arguments.task == "decompress":
        return restores
    return [
        dataclasses.replace(request, label=f"{request.path.partition('?')[0]} {request.label}")
        for pair in zip(pictures, restores, strict=True)
        for request in pair
    ]


def _restore_of(picture: Request, sender: HttpSender) -> Request:
    answer = sender.send(picture)
    if answer.status != "200":
        text = answer.content[:500].decode(errors="replace")
        raise Misuse(f"{picture.label} could not be compressed ({answer.status}): {text}")
    return dataclasses.replace(picture, path="/decompress", content=answer.content)


def _profile(arguments: argparse.Namespace, requests: Sequence[Request]) -> LoadProfile:
    is_open = arguments.rate is not None
    return LoadProfile(
        requests=requests,
        clients=arguments.clients or (_OPEN_CLIENTS if is_open else _CLOSED_CLIENTS),
        seconds=arguments.seconds,
        rate_per_s=arguments.rate,
        arrivals=arguments.arrivals,
        seed=arguments.seed,
        limit_s=None if arguments.limit is None else arguments.limit / 1000,
    )


def _search(profile: LoadProfile, sender: HttpSender) -> Report:
    assert profile.limit_s is not None

    def measure(rate_per_s: float) -> Report:
        report = run_load_test(dataclasses.replace(profile, rate_per_s=rate_per_s, clients=_OPEN_CLIENTS), sender)
        found = (
            f"{rate_per_s:.3g}/s: p99 {report.latency_ms(99):.0f} ms, {len(report.answers)} of {len(report.samples)}"
        )
        print(found, file=sys.stderr)
        return report

    capacity = run_load_test(profile, sender).images_per_s
    print(f"{profile.clients} clients in a closed loop: {capacity:.3g} images/s", file=sys.stderr)
    best = find_rate(measure, most_per_s=1.25 * capacity, limit_s=profile.limit_s) if capacity else None
    if best is None:
        raise Misuse(f"no rate keeps {1000 * profile.limit_s:g} ms; allow a longer latency")
    return best


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Misuse(f"a header must be NAME:VALUE, got {text!r}")
    return name.strip(), value.strip()


VERB: Final = Verb(
    summary="measure throughput and latency of a server under load",
    add_arguments=_add_arguments,
    run=_run,
    epilog=lambda: _EPILOG,
)
