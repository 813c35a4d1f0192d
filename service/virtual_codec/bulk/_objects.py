"""Prefix of an object store as a `Storage`, through fsspec: S3, and other stores that fsspec has a package for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from virtual_codec.bulk.storage import Entry
from virtual_codec.errors import BadOption

_INSTALL_ADVICE = "for s3:// run `pip install 'virtual-codec[bulk]'`, for gcs:// `pip install gcsfs`"


@final
class ObjectPrefix:
    """Objects below a URL such as s3://bucket/folder. Objects are written atomically."""

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise BadOption(f"{url} needs fsspec; {_INSTALL_ADVICE}") from error
        try:
            # Listings are not cached: a cache would hold every name, and would miss objects of other processes.
            self._files, self._root = url_to_fs(url.rstrip("/"), use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise BadOption(f"{url} cannot be opened: {error}; {_INSTALL_ADVICE}") from error
        self._root = self._root.rstrip("/")
        protocol = self._files.protocol
        self._protocol: str = protocol if isinstance(protocol, str) else protocol[0]

    @property
    def url(self) -> str:
        """Address of the prefix."""
        return f"{self._protocol}://{self._root}"

    @property
    def is_local(self) -> bool:
        """False, because every existence check is a request."""
        return False

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Objects below the prefix, listed by pages from S3 and by folders from other stores."""
        top = f"{self._root}/{prefix}".rstrip("/")
        with _as_os_errors(self.url):
            found = self._s3_objects(top) if self._protocol == "s3" else self._objects(top)
            for path, info in found:
                name = path.removeprefix(f"{self._root}/")
                if name and not name.endswith("/"):  # an empty folder, as storage consoles make it
                    yield Entry(name=name, size_bytes=int(info.get("size") or 0), version=_version(info))

    def read(self, name: str) -> bytes:
        """Content of an object."""
        with _as_os_errors(self._path(name)):
            content: bytes = self._files.cat_file(self._path(name))
            return content

    def lines(self, name: str) -> Iterator[bytes]:
        """Complete lines of one part of a log, which is small enough to be read at once."""
        yield from (line for line in self.read(name).splitlines(keepends=True) if line.endswith(b"\n"))

    def write(self, name: str, content: bytes, *, replace: bool, media_type: str = "") -> None:
        """Write an object by one PUT, or by an upload in parts, atomically."""
        extra = {"ContentType": media_type} if media_type and self._protocol == "s3" else {}
        with _as_os_errors(self._path(name)):
            if not replace and self.size_bytes(name) is not None:
                raise FileExistsError(f"{self._path(name)} exists")
            self._files.pipe_file(self._path(name), content, mode="overwrite" if replace else "create", **extra)

    def size_bytes(self, name: str) -> int | None:
        """Size of an object, or None if there is none."""
        with _as_os_errors(self._path(name)):
            try:
                size: int = self._files.size(self._path(name))
            except FileNotFoundError:
                return None
            return size

    def append(self, log: str, part: int, content: bytes) -> None:
        """Write the lines as a new object, because objects cannot be appended to."""
        self.write(f"{log}-{part:08}.jsonl", content, replace=True)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:  # noqa: ARG002
        """Lock nothing. Users must avoid two runs at the same time (see `vcodec bulk --help`)."""
        yield

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _objects(self, top: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for _, _, files in self._files.walk(top, detail=True):
            yield from ((info["name"].lstrip("/"), info) for info in files.values())

    def _s3_objects(self, top: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        # fsspec's own listing holds a whole folder in memory, and S3 folders of millions of objects are common.
        bucket, _, key = top.partition("/")
        asked = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
        while True:
            page = self._files.call_s3("list_objects_v2", **asked)
            for item in page.get("Contents", ()):
                yield f"{bucket}/{item['Key']}", {"size": item["Size"], "ETag": item["ETag"]}
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]


def _version(info: Mapping[str, Any]) -> str:
    for name in ("ETag", "etag", "md5Hash", "mtime", "updated", "LastModified", "last_modified", "created"):
        if info.get(name):
            return str(info[name]).strip('"')
    return ""


@contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Convert exceptions of a store's package to `OSError` with the object's address."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{path}: {type(error).__name__}: {error}") from error
