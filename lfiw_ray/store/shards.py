"""Shards and their done marks: the unit of work, of commit and of retry.

A shard is `00042.parquet` plus `00042.json`, the mark, written last.  It exists when the mark exists and
fits: its own seal, the plan, the number of rows, the size, and (when its bytes are read) the checksum.
Readers open only marked shards.  A retry writes the same bytes.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, Any, NamedTuple

from lfiw_ray.errors import MissingFileError, ShardError, StoreError
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.seal import sealed, unsealed

TAIL_BYTES = 65_536  # holds the footer of a Parquet file of a hundred row groups
_READERS = 16
_MARKS_AT_ONCE = 1024  # read ahead of who takes them


class Layout(NamedTuple):
    """How a table's rows lie in shards; row ids are 0 .. num_rows."""

    num_rows: int
    rows_per_shard: int

    @property
    def num_shards(self) -> int:
        """Number of shards; the last may be shorter."""
        return -(-self.num_rows // self.rows_per_shard)

    def bounds(self, shard: int) -> tuple[int, int]:
        """First row id of a shard and the id after its last."""
        start = shard * self.rows_per_shard
        return start, min(start + self.rows_per_shard, self.num_rows)


class Mark(NamedTuple):
    """The done mark of a shard.  No clock in it: an undisturbed and a resumed run write the same marks.

    `tail_sha256` is of the last `TAIL_BYTES`, where Parquet keeps its footer: pages carry checksums, the footer
    does not, so a reader of parts checks it by this.
    """

    shard: int
    plan: str
    rows: int
    bytes: int
    sha256: str
    tail_sha256: str
    extra: dict[str, Any]


_KINDS = {"shard": int, "plan": str, "rows": int, "bytes": int, "sha256": str, "tail_sha256": str, "extra": dict}


class Table(NamedTuple):
    """A sharded table of a run: where it lies, what made it, how its rows are cut."""

    url: str
    plan: str
    layout: Layout

    @property
    def folder(self) -> Folder:
        """Folder of the shards."""
        return Folder(self.url)

    def is_done(self, shard: int) -> bool:
        """Whether a shard is committed by this plan; another plan's is an error."""
        found = find_mark(self.folder, shard)
        return found is not None and self._of_plan(found) is not None

    def mark(self, shard: int) -> Mark:
        """The mark of a committed shard of this plan; ShardError when there is none."""
        return self._of_plan(read_mark(self.folder, shard))

    def read(self, shard: int) -> bytes:
        """A committed shard's bytes, checked against its mark."""
        return read_data(self.folder, self.mark(shard))

    @contextmanager
    def open(self, shard: int) -> Iterator[IO[bytes]]:
        """A committed shard's file for reading parts of it; its size and end are checked against its mark."""
        with open_data(self.folder, self.mark(shard)) as file:
            yield file

    def path(self, shard: int) -> str:
        """Where a shard's rows lie, for messages."""
        return self.folder.path(data_name(shard))

    def _of_plan(self, mark: Mark) -> Mark:
        if mark.plan != self.plan:
            raise StoreError(_foreign(self.folder, mark, self.plan))
        return mark


def _foreign(folder: Folder, mark: Mark, plan: str) -> str:
    return (
        f"{folder.path(data_name(mark.shard))} was made by plan {mark.plan}, this run's is {plan}; "
        f"choose another run folder (--run) or remove {folder.url}"
    )


def data_name(shard: int) -> str:
    """File name of a shard's rows."""
    return f"{shard:05d}.parquet"


def mark_name(shard: int) -> str:
    """File name of a shard's done mark."""
    return f"{shard:05d}.json"


def commit(
    folder: Folder, shard: int, plan: str, rows: int, data: bytes | memoryview, extra: dict[str, Any] | None = None
) -> Mark:
    """Publish a shard.  A crash at any line leaves it pending, never half-read."""
    mark = Mark(shard, plan, rows, len(data), _sha256(data), _sha256(data[-TAIL_BYTES:]), extra or {})
    folder.write(data_name(shard), data)
    folder.write(mark_name(shard), sealed(mark._asdict()))
    return mark


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def read_mark(folder: Folder, shard: int) -> Mark:
    """The done mark of a shard.

    Raises
    ------
    ShardError
        When there is none, or it cannot be understood.
    """
    mark = find_mark(folder, shard)
    if mark is None:
        raise ShardError(f"shard {folder.path(mark_name(shard))} is not committed; run the stage that writes it")
    return mark


def find_mark(folder: Folder, shard: int) -> Mark | None:
    """The same, or None when there is none."""
    data, path = folder.find(mark_name(shard)), folder.path(mark_name(shard))
    if data is None:
        return None
    try:
        mark = Mark(**unsealed(data))
        if not all(type(value) is _KINDS[name] for name, value in mark._asdict().items()):
            raise ValueError("a field is of another type")
    except (ValueError, TypeError) as err:
        raise ShardError(f"{path} is not a done mark ({err}); run again with --repair to regenerate the shard") from err
    if mark.shard != shard:
        raise ShardError(f"{path} is the mark of shard {mark.shard}; run again with --repair to regenerate the shard")
    return mark


def read_data(folder: Folder, mark: Mark) -> bytes:
    """A shard's bytes, checked against its mark.

    Raises
    ------
    ShardError
        Naming the file, when it is missing, torn or altered.
    """
    with _found(folder, mark):
        data = folder.read(data_name(mark.shard))
    _check_bytes(folder, mark, len(data), data, mark.sha256)
    return data


@contextmanager
def open_data(folder: Folder, mark: Mark) -> Iterator[IO[bytes]]:
    """A shard's file for reading parts of it; its size and its last `TAIL_BYTES` are checked against its mark.

    Raises
    ------
    ShardError
        Naming the file, when it is missing or torn, or its end was altered.
    """
    with _found(folder, mark), folder.open(data_name(mark.shard)) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(size - TAIL_BYTES, 0))
        _check_bytes(folder, mark, size, file.read(), mark.tail_sha256)
        file.seek(0)
        yield file


@contextmanager
def _found(folder: Folder, mark: Mark) -> Iterator[None]:
    try:
        yield
    except MissingFileError as err:
        path = folder.path(data_name(mark.shard))
        raise ShardError(
            f"{path} is missing although it is marked as done; run again with --repair to regenerate it"
        ) from err


def _check_bytes(folder: Folder, mark: Mark, size: int, data: bytes, sha256: str) -> None:
    path = folder.path(data_name(mark.shard))
    if size != mark.bytes:
        raise ShardError(f"{path} has {size} bytes, its mark says {mark.bytes}; run again with --repair")
    if _sha256(data) != sha256:
        raise ShardError(f"{path} was altered: its SHA-256 is not that of its mark; run again with --repair")


def done_marks(table: Table) -> Iterator[Mark]:
    """The marks of all finished shards, in order, checked against plan, rows and file size.

    Raises
    ------
    StoreError
        When the folder holds shards of another plan.
    ShardError
        When a marked file is missing or of the wrong size.
    """
    folder, plan, layout = table.folder, table.plan, table.layout
    sizes = folder.sizes()
    shards = [s for s in range(layout.num_shards) if mark_name(s) in sizes]
    _refuse_extra_shards(folder, sizes, layout)
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(shards), _MARKS_AT_ONCE):
            for mark in readers.map(lambda s: read_mark(folder, s), shards[start : start + _MARKS_AT_ONCE]):
                _check_fit(folder, mark, plan, layout, sizes)
                yield mark


def _refuse_extra_shards(folder: Folder, sizes: dict[str, int], layout: Layout) -> None:
    marked = [int(name[:-5]) for name in sizes if name.endswith(".json") and name[:-5].isdecimal()]
    if marked and max(marked) >= layout.num_shards:
        path = folder.path(mark_name(max(marked)))
        raise StoreError(f"{path} is beyond this plan's {layout.num_shards} shards; choose another run folder (--run)")


def _check_fit(folder: Folder, mark: Mark, plan: str, layout: Layout, sizes: dict[str, int]) -> None:
    path = folder.path(data_name(mark.shard))
    if mark.plan != plan:
        raise StoreError(_foreign(folder, mark, plan))
    start, stop = layout.bounds(mark.shard)
    if mark.rows != stop - start:
        raise ShardError(f"{path} has {mark.rows} rows, the plan says {stop - start}; run again with --repair")
    size = sizes.get(data_name(mark.shard))
    if size != mark.bytes:
        found = "is missing" if size is None else f"has {size} bytes"
        raise ShardError(f"{path} {found}, its mark says {mark.bytes} bytes; run again with --repair to regenerate it")


def pending(table: Table) -> list[int]:
    """Shards that are not finished yet, in order."""
    done = {mark.shard for mark in done_marks(table)}
    return [shard for shard in range(table.layout.num_shards) if shard not in done]


def discard(folder: Folder, shard: int) -> None:
    """Make a shard pending again: the mark goes first, so that no reader sees it without its rows."""
    folder.remove(mark_name(shard))
    folder.remove(data_name(shard))


def damaged(table: Table) -> dict[int, str]:
    """Finished shards whose mark or bytes do not fit, with the reason of each; reads every byte."""
    folder, plan, layout = table.folder, table.plan, table.layout
    sizes = folder.sizes()
    found: dict[int, str] = {}
    for shard in range(layout.num_shards):
        if mark_name(shard) not in sizes:
            continue
        try:
            mark = read_mark(folder, shard)
            _check_fit(folder, mark, plan, layout, sizes)
            read_data(folder, mark)
        except ShardError as err:
            found[shard] = str(err)
    return found


def groups(shards: Sequence[int], num_groups: int) -> list[list[int]]:
    """Consecutive shards in at most `num_groups` groups of nearly equal size."""
    count = min(max(num_groups, 1), len(shards))
    cuts = [round(i * len(shards) / count) for i in range(count + 1)] if count else [0]
    return [list(shards[a:b]) for a, b in pairwise(cuts)]
