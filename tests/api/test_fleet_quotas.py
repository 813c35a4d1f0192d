"""Quotas that several replicas count together, in a real Redis."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtual_codec.api._quota import Quotas
from virtual_codec.cli import main
from virtual_codec.errors import QuotaExceeded
from virtual_codec.keys import Key, new_key

REDIS = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(REDIS is None, reason="there is no redis-server")


@pytest.fixture
def key() -> Key:
    return new_key("fleet")[1]


@pytest.fixture
def port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        number: int = listening.getsockname()[1]
    return number


def start_redis(folder: Path, port: int) -> subprocess.Popen[bytes]:
    pytest.importorskip("redis")
    assert REDIS is not None
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([REDIS, *options], stdout=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.05)
    server.kill()
    raise AssertionError("redis-server does not answer")


@pytest.fixture
def redis_server(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with start_redis(tmp_path, port) as server:
        yield server
        server.kill()


@pytest.mark.redis
@needs_redis
async def test_replicas_share_one_quota(key: Key, port: int, redis_server: subprocess.Popen[bytes]) -> None:
    url = f"redis://127.0.0.1:{port}"
    one, other = (Quotas(requests="3/hour", megapixels="2/hour", storage=url) for _ in range(2))
    await one.take_request(key)
    await other.take_request(key)
    await one.take_request(key)
    with pytest.raises(QuotaExceeded, match="3 requests in an hour") as refused:
        await other.take_request(key)
    assert 3500 < (refused.value.retry_after_s or 0) <= 3600
    await one.take_pixels(key, 1_500_000)
    with pytest.raises(QuotaExceeded, match=r"has sent 1\.5; with this it would be 2\.5"):
        await other.take_pixels(key, 1_000_000)
    await other.take_pixels(key, 500_000)


@pytest.mark.redis
@needs_redis
async def test_each_replica_counts_for_itself_while_redis_is_away(
    key: Key, port: int, redis_server: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    quotas = Quotas(requests="2/hour", storage=f"redis://:secret@127.0.0.1:{port}")
    redis_server.kill()
    redis_server.wait()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await quotas.take_request(key)
        with pytest.raises(QuotaExceeded):
            await quotas.take_request(key)
    (record,) = caplog.records  # one, since Redis is not asked again at once
    assert "quota_storage_unavailable" in record.getMessage()
    assert "secret" not in record.getMessage()


async def test_without_a_storage_processes_count_apart(key: Key) -> None:
    one, other = Quotas(requests="1/hour"), Quotas(requests="1/hour")
    await one.take_request(key)
    await other.take_request(key)
    with pytest.raises(QuotaExceeded):
        await one.take_request(key)


def test_a_storage_that_is_no_redis_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("redis")
    monkeypatch.setenv("VCODEC_QUOTA_STORAGE", "mongo://me:secret@host/1")
    assert main(["serve", "--check"]) == 2
    out, err = capsys.readouterr()
    assert "VCODEC_QUOTA_STORAGE must be redis://HOST:PORT" in err
    assert "secret" not in out + err
