"""Frames from workers: every message survives the pipe, and nothing else gets through it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle  # noqa: TID251  # what a hostile worker would send
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.fakes import job
from tests.serving.test_local import SMALL, all_ready, running
from virtual_codec.counts import ITEMS, RunnerCounts
from virtual_codec.errors import BadModel, Overloaded, UndecodableImage, VirtualCodecError
from virtual_codec.jobs import CompressResult, RestoreResult
from virtual_codec.serving._frames import FrameError, decode, encode, read_frame, write_frame
from virtual_codec.serving._messages import (
    Broken,
    Cancelled,
    CannotOpen,
    Done,
    Failed,
    Logged,
    Message,
    ModelWarmed,
    NoMemory,
    Ready,
)

COUNTS = RunnerCounts(bisections=3)
COMPRESSED = CompressResult(
    stream=b"\xff\xd8\x00\xff\xd9",
    media_type="image/jpeg",
    model="0badf00d",
    scale=2,
    width=6,
    height=4,
    quality=50,
    psnr_db=math.inf,
    stages_s={"decode": 0.25},
)
RESTORED = RestoreResult(
    image=b"", media_type="image/png", model="0badf00d", scale=1, width=6, height=4, rate_bpp=1.5, stages_s={}
)
DONE = Done(number=1, result=COMPRESSED, seconds=0.5, counts=COUNTS)
MESSAGES: list[Message] = [
    Ready(notes={"device": "cpu"}),
    CannotOpen(reason="the model is damaged"),
    DONE,
    Done(number=2, result=RESTORED, seconds=0.0, counts=COUNTS),
    Broken(number=3, report="Traceback: Größe"),
    NoMemory(number=4),
    Cancelled(number=5),
    ModelWarmed(number=6, error=None),
    Logged(logger="virtual_codec.x", level=20, facts={"event": "told", "count": 3, "share": 0.5, "none": None}),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda it: type(it).__name__)
def test_a_message_survives_the_pipe(message: Message) -> None:
    assert decode(*encode(message)) == message


@pytest.mark.parametrize(
    "error",
    [UndecodableImage("as told", limit=1, actual=2.5), Overloaded(retry_after_s=3), BadModel("x", limit=math.inf)],
)
def test_an_error_survives_the_pipe_with_its_class_and_limits(error: VirtualCodecError) -> None:
    for message in (Failed(number=1, error=error), ModelWarmed(number=1, error=error)):
        received = decode(*encode(message))
        assert isinstance(received, Failed | ModelWarmed)
        assert received.error is not None
        assert type(received.error) is type(error)
        assert (received.error.detail, received.error.actual) == (error.detail, error.actual)
        assert received.error.retry_after_s == error.retry_after_s
        assert received.error.limit == (None if error.limit == math.inf else error.limit)


def test_a_long_report_is_cut_to_its_end() -> None:
    received = decode(*encode(Broken(number=1, report="é" * 1_000_000 + "the end")))
    assert isinstance(received, Broken)
    assert received.report.endswith("the end")


def changed(**values: object) -> bytes:
    return json.dumps(json.loads(encode(DONE)[0]) | values).encode()


def changed_result(**values: object) -> bytes:
    return changed(result=json.loads(encode(DONE)[0])["result"] | values)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"null",
        b"[]",
        b'{"message": "Opening"}',
        b'{"message": []}',
        b"[" * 100_000,
        b'{"message": "Failed", "number": 1, "error": null}',
        b'{"message": "Failed", "number": 1, "error": {"code": "made up", "detail": ""}}',
        b'{"message": "Cancelled", "number": "1"}',
        b'{"message": "Cancelled", "number": 1e999}',
        pickle.dumps(DONE),
        changed(seconds=math.nan),
        changed(seconds=-1),
        changed(seconds=10**400),
        changed(number=None),
        changed(counts={"bisections": -1}),
        changed(counts={"items": {"bounds": [1.0], "counts": [0, 1], "total": 1.0}}),
        changed(counts={"items": {"bounds": list(ITEMS), "counts": [1], "total": 1.0}}),
        changed(counts={"items": {"bounds": list(ITEMS), "counts": [-1] * 8, "total": 1.0}}),
        changed_result(media_type="image/png\r\nSet-Cookie: a=b"),
        changed_result(width=0),
        changed_result(height=10**30),
        changed_result(stages_s={"decode": -5}),
    ],
)
def test_a_head_that_no_worker_sends_is_refused(head: bytes) -> None:
    with pytest.raises(FrameError):
        decode(head, b"")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(data=st.data())
def test_changed_heads_are_read_or_refused(data: st.DataObject) -> None:
    values = target = json.loads(encode(data.draw(st.sampled_from(MESSAGES)))[0])
    key = data.draw(st.sampled_from(sorted(target)))
    while isinstance(target[key], dict) and target[key] and data.draw(st.booleans()):
        target = target[key]
        key = data.draw(st.sampled_from(sorted(target)))
    target[key] = data.draw(JSON)
    with contextlib.suppress(FrameError):
        decode(json.dumps(values).encode(), b"")


@settings(max_examples=200)
@given(data=st.binary(max_size=64), cut=st.integers(0, 200))
def test_any_bytes_in_the_pipe_are_a_frame_an_error_or_its_end(data: bytes, cut: int) -> None:
    frame = b"".join([(len(encode(DONE)[0])).to_bytes(4, "big"), (5).to_bytes(8, "big"), *encode(DONE)])
    reader, writer = os.pipe()
    try:
        os.write(writer, frame[:cut] + data)
        os.close(writer)
        while (read := read_frame(reader, lambda: 1000)) is not None:
            decode(*read)
    except FrameError:
        pass
    finally:
        os.close(reader)


def test_a_large_frame_crosses_the_pipe() -> None:
    reader, writer = os.pipe()
    body = os.urandom(3_000_000)
    thread = threading.Thread(target=write_frame, args=(writer, b"head", body))
    thread.start()
    assert read_frame(reader, lambda: len(body)) == (b"head", body)
    thread.join()
    os.close(writer)
    assert read_frame(reader, lambda: len(body)) is None
    os.close(reader)


def test_lengths_above_the_limits_are_refused_before_anything_is_read() -> None:
    for lengths in ((2**31, 0), (10, 2**60)):
        reader, writer = os.pipe()
        os.write(writer, lengths[0].to_bytes(4, "big") + lengths[1].to_bytes(8, "big"))
        with pytest.raises(FrameError):
            read_frame(reader, lambda: 1000)
        os.close(writer)
        os.close(reader)


class Payload:
    """Object whose unpickling makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("kind", ["pickle", "flood", "huge", "other_job", "noise"])
async def test_a_hostile_worker_runs_no_code_in_its_parent_and_is_replaced(tmp_path: Path, kind: str) -> None:
    if kind == "pickle":
        pickled = pickle.dumps(Payload(tmp_path / "owned"))
        data = len(pickled).to_bytes(4, "big") + bytes(8) + pickled
    elif kind == "huge":
        data = (10).to_bytes(4, "big") + (2**40).to_bytes(8, "big") + b"x" * 1000
    elif kind == "noise":
        data = os.urandom(10_000)
    else:
        message: Message = Logged(logger="a", level=20, facts={}) if kind == "flood" else Cancelled(number=12345)
        head, _ = encode(message)
        data = (len(head).to_bytes(4, "big") + bytes(8) + head) * (20_000 if kind == "flood" else 1)
    (tmp_path / "hostile").write_bytes(data)
    async with running(tmp_path, threads=2) as pool:
        await all_ready(pool)
        if kind != "flood":  # that is only much to log
            with pytest.raises(VirtualCodecError):
                await pool.submit(job("send"), pixels=SMALL)
            assert pool.state().restarts["crash"] >= 1
        else:
            await pool.submit(job("send"), pixels=SMALL)
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)
    assert not (tmp_path / "owned").exists()
