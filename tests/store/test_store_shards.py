"""Done marks: a shard exists when its mark fits; everything else is pending or an error that names it."""

import json
import uuid
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfiw_ray.errors import ShardError, StoreError
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.seal import sealed, unsealed
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.tables import images_of, read_rows, samples_table, to_parquet

LAYOUT = Layout(10, 4)  # shards of 4, 4 and 2 rows


def rows_of(shard: int) -> bytes:
    return bytes([shard, 7, 7, 7]) * 500


def commit(table: Table, shard: int, plan: str = "plan", rows: int | None = None) -> None:
    start, stop = table.layout.bounds(shard)
    shards.commit(table.folder, shard, plan, stop - start if rows is None else rows, rows_of(shard), {"sum": 0.1})


@pytest.fixture
def table(folder: Folder) -> Table:
    """A table of three shards, the first two committed."""
    found = Table(folder.url, "plan", LAYOUT)
    for shard in (0, 1):
        commit(found, shard)
    return found


def replaced(name: str, change: Callable[[bytes], bytes]) -> Callable[[Table], None]:
    return lambda table: table.folder.write(name, change(table.folder.read(name)))


def flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def with_field(name: str, value: object) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({**json.loads(data), name: value}).encode()


DAMAGE = {
    "truncated rows": (replaced("00001.parquet", lambda d: d[:-1]), r"00001\.parquet has 1999 bytes"),
    "no bytes": (replaced("00001.parquet", lambda _: b""), r"00001\.parquet has 0 bytes"),
    "flipped bit": (replaced("00001.parquet", lambda d: flipped(d, 8000)), r"00001\.parquet was altered"),
    "missing rows": (lambda t: t.folder.remove("00001.parquet"), r"00001\.parquet is missing"),
    "torn mark": (replaced("00001.json", lambda d: d[:-5]), r"00001\.json is not a done mark"),
    "empty mark": (replaced("00001.json", lambda _: b""), r"00001\.json is not a done mark"),
    "binary mark": (replaced("00001.json", lambda _: b"\xff\x00"), r"00001\.json is not a done mark"),
    "list as mark": (replaced("00001.json", lambda _: b"[1]"), r"00001\.json is not a done mark"),
    "mark of other fields": (replaced("00001.json", lambda _: sealed({"shard": 1})), r"00001\.json is not a done mark"),
    "altered plan": (replaced("00001.json", with_field("plan", "other")), r"00001\.json is not a done mark.*altered"),
    "altered extra": (replaced("00001.json", with_field("extra", {})), r"00001\.json is not a done mark.*altered"),
    "another's mark": (lambda t: t.folder.write("00001.json", t.folder.read("00000.json")), "is the mark of shard 0"),
    "wrong rows": (lambda t: commit(t, 1, rows=3), r"00001\.parquet has 3 rows, the plan says 4"),
}
ONLY_IN_THE_BYTES = {"flipped bit"}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_an_error_that_names_the_file_until_it_is_repaired(table: Table, kind: str):
    damage, message = DAMAGE[kind]
    damage(table)
    if kind in ONLY_IN_THE_BYTES:
        assert shards.pending(table) == [2]
    else:
        with pytest.raises(ShardError, match=message):
            shards.pending(table)
    if kind != "wrong rows":
        with pytest.raises(ShardError, match=message):
            table.read(1)
    found = shards.damaged(table)
    assert list(found) == [1]
    with pytest.raises(ShardError, match=message):
        raise ShardError(found[1])
    shards.discard(table.folder, 1)
    assert shards.damaged(table) == {}
    assert shards.pending(table) == [1, 2]
    commit(table, 1)
    assert table.read(1) == rows_of(1)


def test_what_is_committed_is_read_back(table: Table):
    assert shards.pending(table) == [2]
    assert [table.is_done(shard) for shard in range(3)] == [True, True, False]
    assert table.read(1) == rows_of(1)
    assert [(m.shard, m.rows, m.bytes, m.extra) for m in shards.done_marks(table)] == [
        (0, 4, 2000, {"sum": 0.1}),
        (1, 4, 2000, {"sum": 0.1}),
    ]
    assert shards.damaged(table) == {}
    with pytest.raises(ShardError, match=r"00002\.json is not committed"):
        table.mark(2)


def test_rows_without_a_mark_do_not_exist(table: Table):
    table.folder.write("00002.parquet", rows_of(2))
    assert shards.pending(table) == [2]
    assert not table.is_done(2)
    with pytest.raises(ShardError, match="not committed"):
        table.read(2)


def test_files_of_writers_at_work_are_not_read(table: Table):
    for name in (".00002.json.1.tmp", ".00002.parquet.1.tmp", "notes.json", "00002.json.tmp"):
        table.folder.write(name, b"half a fi")
    assert shards.pending(table) == [2]
    assert shards.damaged(table) == {}


def test_a_commit_again_writes_the_same_bytes(table: Table):
    before = {name: table.folder.read(name) for name in table.folder.sizes()}
    commit(table, 0)
    elsewhere = Table(table.folder.child("elsewhere").url, "plan", LAYOUT)
    commit(elsewhere, 1)
    assert {name: table.folder.read(name) for name in before} == before
    assert {name: elsewhere.folder.read(name) for name in elsewhere.folder.sizes()} == {
        name: data for name, data in before.items() if name.startswith("00001")
    }


@pytest.mark.parametrize(
    "act", [shards.pending, shards.damaged, lambda t: t.read(1), lambda t: t.mark(1), lambda t: t.is_done(1)]
)
def test_shards_of_another_plan_are_refused_and_never_repaired_away(table: Table, act: Callable[[Table], object]):
    commit(table, 1, plan="other")
    with pytest.raises(StoreError, match=r"00001\.parquet was made by plan other, this run's is plan; choose"):
        act(table)
    assert table.folder.exists("00001.parquet")


def test_shards_beyond_the_layout_are_refused(table: Table):
    shorter = table._replace(layout=Layout(4, 4))
    with pytest.raises(StoreError, match=r"00001\.json is beyond this plan's 1 shards"):
        shards.pending(shorter)


def test_no_bit_of_a_mark_flips_unnoticed(table: Table):
    mark = table.folder.read("00000.json")
    for bit in range(8 * len(mark)):
        try:
            body = unsealed(flipped(mark, bit))
        except ValueError:
            continue
        assert body == unsealed(mark), f"bit {bit}"  # of a space, or the case of a letter in an exponent


def test_marks_hold_numbers_exactly(folder: Folder):
    values = {"sum": 0.1 + 0.2, "tiny": 5e-324, "big": 2**60, "rows": (1, 2)}
    shards.commit(folder, 0, "plan", 1, b"x", values)
    assert shards.read_mark(folder, 0).extra == {**values, "rows": [1, 2]}
    with pytest.raises(ValueError, match="JSON"):
        shards.commit(folder, 1, "plan", 1, b"x", {"sum": float("nan")})
    assert not folder.exists("00001.json")


def test_no_bit_of_a_shard_flips_unnoticed_by_a_reader_of_parts(monkeypatch: pytest.MonkeyPatch):
    x = np.arange(64 * 4, dtype=np.uint8).reshape(64, 2, 2, 1)
    table = Table(f"memory://{uuid.uuid4().hex}", "plan", Layout(64, 64))
    data = bytes(to_parquet(samples_table(np.arange(64), x)))
    footer_bytes = 8 + int.from_bytes(data[-8:-4], "little")
    monkeypatch.setattr(shards, "TAIL_BYTES", footer_bytes)  # so that the pages have only their own checksums
    shards.commit(table.folder, 0, "plan", 64, data)
    mark, wanted, noticed = table.mark(0), np.array([3, 40]), 0
    for bit in range(0, 8 * len(data), 3):
        table.folder.write("00000.parquet", flipped(data, bit))
        try:
            with shards.open_data(table.folder, mark) as file:
                ((positions, part),) = read_rows(file, wanted, table.path(0))
        except ShardError as err:
            assert "00000.parquet" in str(err)  # noqa: PT017
            noticed += 1
        else:  # a flipped bit in a page's header may mean nothing
            assert bit < 8 * (len(data) - footer_bytes)
            np.testing.assert_array_equal(images_of(part), x[wanted[positions]])
            assert part.column("sample_id").to_pylist() == [3, 40]
    assert noticed > 0.9 * 8 * len(data) / 3


@pytest.mark.parametrize("past_the_tail", [False, True])
def test_a_reader_of_parts_checks_size_and_end_alone(table: Table, past_the_tail: bool, monkeypatch):
    monkeypatch.setattr(shards, "TAIL_BYTES", 100)
    commit(table, 0)
    table.folder.write("00000.parquet", flipped(rows_of(0), 8 * (1899 if past_the_tail else 1900)))
    if past_the_tail:
        with table.open(0) as file:  # pages carry checksums of their own
            assert len(file.read()) == 2000
    else:
        with pytest.raises(ShardError, match=r"00000\.parquet was altered"), table.open(0):
            pass
    table.folder.write("00000.parquet", rows_of(0)[:-1])
    with pytest.raises(ShardError, match=r"00000\.parquet has 1999 bytes"), table.open(0):
        pass
    table.folder.remove("00000.parquet")
    with pytest.raises(ShardError, match=r"00000\.parquet is missing"), table.open(0):
        pass


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 500))
def test_shards_partition_the_rows(num_rows: int, rows_per_shard: int):
    layout = Layout(num_rows, rows_per_shard)
    bounds = [layout.bounds(shard) for shard in range(layout.num_shards)]
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(num_rows))
    assert all(stop - start == rows_per_shard for start, stop in bounds[:-1])


@settings(deadline=None)  # it starts threads
@given(st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7)))
def test_what_is_not_done_is_pending(done: set[int], discarded: set[int]):
    table = Table(f"memory://{uuid.uuid4().hex}", "plan", Layout(15, 2))
    for shard in done:
        commit(table, shard)
    for shard in discarded:
        shards.discard(table.folder, shard)
    assert shards.pending(table) == [shard for shard in range(8) if shard not in done - discarded]
    assert [mark.shard for mark in shards.done_marks(table)] == sorted(done - discarded)
    assert shards.damaged(table) == {}


@settings(deadline=None)
@given(st.lists(st.integers(0, 99_999), max_size=60, unique=True), st.integers(-1, 80))
def test_groups_are_consecutive_and_nearly_equal(todo: list[int], num_groups: int):
    found = shards.groups(todo, num_groups)
    assert [shard for group in found for shard in group] == todo
    assert len(found) == min(max(num_groups, 1), len(todo))
    sizes = {len(group) for group in found}
    assert 0 not in sizes
    assert not sizes or max(sizes) - min(sizes) <= 1
