"""Bulk runs from and to a real S3 server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.fakes import FakePool
from tests.bulk.runs import make_images, run
from virtual_codec.bulk import open_storage
from virtual_codec.errors import NoWorker

pytestmark = [
    pytest.mark.s3,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:moto"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    pytest.importorskip("s3fs")
    servers: Any = pytest.importorskip("moto.server")
    server = servers.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """The bucket `archive`, empty, as a file system of its own."""
    import s3fs

    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    if files.exists("archive"):
        files.rm("archive", recursive=True)
    files.mkdir("archive")
    return files


def upload(files: Any, folder: Path, url: str) -> None:
    for path in folder.rglob("*.png"):
        files.pipe_file(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def objects(files: Any, prefix: str) -> dict[str, bytes]:
    found = (path.removeprefix(f"{prefix}/") for path in files.find(prefix))
    return {name: files.cat_file(f"{prefix}/{name}") for name in found if not name.startswith(".vcodec-bulk/")}


def test_a_bucket_becomes_another_prefix_and_a_second_run_keeps_it(bucket: Any, tmp_path: Path) -> None:
    outputs = make_images(tmp_path, 9)
    upload(bucket, tmp_path, "archive/in")
    assert run("s3://archive/in", "s3://archive/out").done == 9
    assert objects(bucket, "archive/out") == outputs
    assert bucket.info("archive/out/001.jpg")["ContentType"] == "image/jpeg"
    pool = FakePool()
    assert run("s3://archive/in", "s3://archive/out", pool).kept == 9
    assert not pool.jobs


def test_a_bucket_and_a_folder_go_together(bucket: Any, tmp_path: Path) -> None:
    outputs = make_images(tmp_path / "in", 4)
    assert run(tmp_path / "in", "s3://archive").done == 4
    assert objects(bucket, "archive") == outputs
    upload(bucket, tmp_path / "in", "archive")
    assert run("s3://archive", tmp_path / "out").done == 4


def test_listings_of_many_pages_are_read_to_their_end(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        bucket.pipe_file(f"archive/{number}.png", b"x")
    storage: Any = open_storage("s3://archive")
    whole = storage._files.call_s3

    def call_s3(method: str, **asked: Any) -> Any:
        return whole(method, **asked, MaxKeys=3)

    monkeypatch.setattr(storage._files, "call_s3", call_s3)
    assert sorted(entry.name for entry in storage.entries()) == [f"{number}.png" for number in range(7)]


def test_foreign_objects_stay_and_interrupted_runs_continue(bucket: Any, tmp_path: Path) -> None:
    outputs = make_images(tmp_path, 5)
    upload(bucket, tmp_path, "archive/in")
    bucket.pipe_file("archive/out/001.jpg", b"mine")
    with pytest.raises(NoWorker):  # after the manifest has said what was begun
        run("s3://archive/in", "s3://archive/out", FakePool(is_dead=True))
    bucket.pipe_file("archive/out/002.jpg", b"written by the run that was cut off")
    totals = run("s3://archive/in", "s3://archive/out")
    assert (totals.done, totals.failed) == (4, 1)
    assert objects(bucket, "archive/out") == outputs | {"001.jpg": b"mine"}
    (failure,) = bucket.cat_file("archive/out/.vcodec-bulk/failures.jsonl").splitlines()
    assert json.loads(failure)["code"] == "exists"


def test_an_object_is_not_written_over_one_that_came_meanwhile(bucket: Any) -> None:
    storage = open_storage("s3://archive")
    storage.write("a/b.jpg", b"one", replace=False)
    with pytest.raises(FileExistsError):
        storage.write("a/b.jpg", b"two", replace=False)
    storage.write("a/b.jpg", b"three", replace=True)
    assert storage.read("a/b.jpg") == b"three"
    assert storage.size_bytes("a/b.jpg") == 5
    assert storage.size_bytes("a/c.jpg") is None


def test_a_missing_bucket_is_an_error_of_the_system(bucket: Any) -> None:
    with pytest.raises(OSError, match=r"(?i)bucket"):
        list(open_storage("s3://nosuch").entries())
