"""Plan of a bulk run: which sources there are, what each becomes, and what of it was done before."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from virtual_codec import __version__
from virtual_codec.bulk._index import Index
from virtual_codec.bulk._manifest import Manifest, log_name, read_manifest
from virtual_codec.bulk.storage import RESERVED, Entry, Storage
from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions, RestoreOptions


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of several runs that share a source: number `index` of `count`, from 0. Names decide who has a file."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise BadOption(f"a shard is INDEX/COUNT with INDEX from 0 to COUNT - 1, got {self.index}/{self.count}")

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """True if the file of that name is this shard's."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a run needs but workers. `options` name their model; `manifest` is None on a dry run.

    `models` are the ids of the models for files of other encoders, by the name of the format.
    """

    source: Storage
    target: Storage
    options: CompressOptions | RestoreOptions
    index: Index
    manifest: Manifest | None
    shard: Shard
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def report(self) -> str:
        """Name in the destination of the report of failures."""
        return f"{RESERVED}/failures.jsonl" if self.shard.count == 1 else f"{RESERVED}/failures-{self.shard}.jsonl"


@contextmanager
def opened_plan(
    source: Storage,
    target: Storage,
    options: CompressOptions | RestoreOptions,
    *,
    taken: frozenset[str],
    suffix: str,
    keep_suffix: bool = False,
    shard: Shard | None = None,
    is_dry: bool = False,
    models: Mapping[str, str] | None = None,
) -> Iterator[Plan]:
    """A plan for the time of a block, after the source was listed and the manifest read.

    Files whose lower-case suffix is in `taken` are sources. Outputs have `suffix` in place of it or, with
    `keep_suffix`, behind it. An earlier run's `models` take the place of the given ones. Raises `BadOption` before
    anything is done: if nothing is found, two sources have one output, source and destination overlap, another run
    holds the destination, or it had other options.
    """
    shard = shard or Shard()
    run: dict[str, object] = {
        "verb": "compress" if isinstance(options, CompressOptions) else "decompress",
        "source": source.url,
        "options": _plain(options),
        "suffix": suffix,
        "keep_suffix": keep_suffix,
    }
    excluded = _excluded(source, target)
    entries = (entry for entry in source.entries() if not entry.name.startswith(excluded))
    chosen = _chosen(entries, taken, shard)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vcodec-bulk-"))
        index = stack.enter_context(closing(Index(Path(folder, "index"))))
        _fill(index, chosen, suffix, keep_suffix, shard, taken, source)
        if not is_dry:
            try:
                stack.enter_context(target.lock(f"lock-{shard}"))
            except BlockingIOError:
                message = f"another run writes to {target.url}; wait for its end, or give runs a --shard each"
                raise BadOption(message) from None
        number, earlier = read_manifest(target, index, run)
        models = {**(models or {}), **earlier}
        manifest = None
        if not is_dry:
            manifest = Manifest(target, log_name(number))
            manifest.add("run", {"software": __version__, **run, "models": models})
        yield Plan(
            source=source,
            target=target,
            options=options,
            index=index,
            manifest=manifest,
            shard=shard,
            models=models,
        )


def _plain(options: CompressOptions | RestoreOptions) -> Mapping[str, object]:
    """The options as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}


def _excluded(source: Storage, target: Storage) -> tuple[str, ...]:
    """Beginnings of names below the source that are no sources: what runs wrote."""
    if source.url == target.url or source.url.startswith(f"{target.url}/"):
        raise BadOption(f"the destination {target.url} holds the source; name one apart from it")
    reserved = f"{RESERVED}/"
    if target.url.startswith(f"{source.url}/"):
        return (reserved, target.url.removeprefix(f"{source.url}/") + "/")
    return (reserved,)


def _chosen(entries: Iterator[Entry], taken: frozenset[str], shard: Shard) -> Iterator[Entry]:
    for entry in entries:
        if PurePosixPath(entry.name).suffix.lower() in taken and shard.holds(entry.name):
            yield entry


def _fill(
    index: Index,
    entries: Iterator[Entry],
    suffix: str,
    keep_suffix: bool,
    shard: Shard,
    taken: frozenset[str],
    source: Storage,
) -> None:
    try:
        conflict = index.add_tasks((entry, _output(entry.name, suffix, keep_suffix)) for entry in entries)
    except FileNotFoundError as error:
        raise BadOption(str(error)) from error
    if conflict is not None:
        one, other, output = conflict
        raise BadOption(f"{one} and {other} would both become {output}; --keep-suffix keeps them apart")
    if index.count(done=False)[0] == 0 and shard.count == 1:
        raise BadOption(f"no image in {source.url}; these suffixes are taken: {' '.join(sorted(taken))}")


def _output(name: str, suffix: str, keep_suffix: bool) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(path.name + suffix) if keep_suffix else path.with_suffix(suffix))
