"""The tree of errors: its codes are public and stay as they are."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Iterator
from typing import TypeVar

import pytest

from virtual_codec import errors
from virtual_codec.errors import VirtualCodecError

CODES = [
    "animated_image",
    "bad_input",
    "bad_model",
    "bad_multipart",
    "bad_option",
    "bad_stream",
    "bad_training_data",
    "body_timeout",
    "body_too_large",
    "deadline_exceeded",
    "draining",
    "empty_body",
    "field_too_large",
    "headers_timeout",
    "headers_too_large",
    "internal",
    "method_not_allowed",
    "missing_file",
    "model_not_found",
    "no_worker",
    "not_acceptable",
    "not_found",
    "overloaded",
    "poison_input",
    "profile_too_large",
    "quota_exceeded",
    "server_unreachable",
    "side_too_long",
    "too_many_parts",
    "too_many_pixels",
    "too_many_scans",
    "too_many_segments",
    "unauthorized",
    "unavailable",
    "undecodable_image",
    "unknown_stream_model",
    "unreachable_target",
    "unsupported_encoding",
    "unsupported_format",
    "unsupported_media_type",
]


T = TypeVar("T")


def across_a_pipe(value: T) -> T:
    """What another process would receive."""
    here, there = multiprocessing.Pipe()
    with here, there:
        here.send(value)
        received: T = there.recv()
    return received


def kinds(root: type[VirtualCodecError] = VirtualCodecError) -> Iterator[type[VirtualCodecError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def test_the_codes_are_frozen() -> None:
    assert sorted(kind.code for kind in kinds()) == CODES


def test_every_class_has_a_code_of_its_own() -> None:
    for kind in kinds():
        assert "code" in vars(kind)
    assert len({kind.code for kind in kinds()}) == len(list(kinds()))


def test_every_class_says_what_it_means_and_stands_in_the_tree() -> None:
    for kind in kinds():
        assert kind.__doc__
        assert kind.__doc__.partition("\n")[0].endswith(".")
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_an_error_survives_a_process_border(kind: type[VirtualCodecError]) -> None:
    error = kind("too much", limit=10, actual=11.5, retry_after_s=0.25)
    for again in (across_a_pipe(error), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == again.detail == "too much"
        assert (again.limit, again.actual, again.retry_after_s) == (10, 11.5, 0.25)


def test_an_error_without_numbers_survives_too() -> None:
    again = across_a_pipe(errors.EmptyInput("nothing"))
    assert (again.detail, again.limit, again.actual, again.retry_after_s) == ("nothing", None, None, None)
