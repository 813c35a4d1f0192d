"""Plan of a bulk run: sources, their outputs, and the tasks that earlier runs finished."""

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
    """Part of a source for one of several runs: number `index` of `count`, from 0.

    A file belongs to the shard that a hash of its name selects.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise BadOption(f"a shard is INDEX/COUNT with INDEX from 0 to COUNT - 1, got {self.index}/{self.count}")

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """True if the file of that name belongs to this shard."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Input of a run. `options` name the model of the workers. `manifest` is None for a dry run.

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
        """Name of the report of failures, in the destination."""
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
    """Plan for the time of a block, made from the listing of the source and the manifest of the destination.

    Files whose lower-case suffix is in `taken` are sources. In the output's name, `suffix` replaces the source's suffix
    or, with `keep_suffix`, follows it. The `models` of an earlier run replace the given ones. Raises `BadOption` before
    any work if there is no source, if two sources have one output, if source and destination overlap, if another run
    holds the destination, or if earlier runs there had other options.
    """
    shard = shard or Shard()
    run: dict[str, object] = {
        "verb": "compress" if isinstance(options, CompressOptions) else "decompress",
        "source": source.url,
        "options": _json_options(options),
        "suffix": suffix,
        "keep_suffix": keep_suffix,
    }
    excluded = _excluded_prefixes(source, target)
    entries = (entry for entry in source.entries() if not entry.name.startswith(excluded))
    chosen = _sources_of_shard(entries, taken, shard)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vcodec-bulk-"))
        index = stack.enter_context(closing(Index(Path(folder, "index"))))
        _fill_index(index, chosen, suffix, keep_suffix, shard, taken, source)
        if not is_dry:
            try:
                stack.enter_context(target.lock(f"lock-{shard}"))
            except BlockingIOError:
                message = f"another run writes to {target.url}; wait for its end, or give each run its own --shard"
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


def _json_options(options: CompressOptions | RestoreOptions) -> Mapping[str, object]:
    """Options as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}


def _excluded_prefixes(source: Storage, target: Storage) -> tuple[str, ...]:
    """Prefixes of names below the source that are not sources, because bulk runs wrote them."""
    if source.url == target.url or source.url.startswith(f"{target.url}/"):
        raise BadOption(f"the destination {target.url} contains the source; choose a destination outside of it")
    reserved = f"{RESERVED}/"
    if target.url.startswith(f"{source.url}/"):
        return (reserved, target.url.removeprefix(f"{source.url}/") + "/")
    return (reserved,)


def _sources_of_shard(entries: Iterator[Entry], taken: frozenset[str], shard: Shard) -> Iterator[Entry]:
    for entry in entries:
        if PurePosixPath(entry.name).suffix.lower() in taken and shard.holds(entry.name):
            yield entry


def _fill_index(
    index: Index,
    entries: Iterator[Entry],
    suffix: str,
    keep_suffix: bool,
    shard: Shard,
    taken: frozenset[str],
    source: Storage,
) -> None:
    try:
        conflict = index.add_tasks((entry, _output_name(entry.name, suffix, keep_suffix)) for entry in entries)
    except FileNotFoundError as error:
        raise BadOption(str(error)) from error
    if conflict is not None:
        one, other, output = conflict
        raise BadOption(f"{one} and {other} would both become {output}; --keep-suffix keeps them apart")
    if index.count(done=False)[0] == 0 and shard.count == 1:
        raise BadOption(f"no image in {source.url}; sources have the suffixes {' '.join(sorted(taken))}")


def _output_name(name: str, suffix: str, keep_suffix: bool) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(path.name + suffix) if keep_suffix else path.with_suffix(suffix))
