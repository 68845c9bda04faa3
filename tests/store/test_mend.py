"""Damage below a folder of which nothing is known but its marks: named, made pending, and nothing else is touched."""

from pathlib import Path

from lfiw_ray.store import shards, stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.mend import discard_damaged


def filled(root: Path) -> Folder:
    """A table of three shards, a stage of two parts, another stage, and checkpoints that look like marks."""
    folder = Folder(str(root))
    for shard in range(3):
        shards.commit(folder.child("spaces/random/pool"), shard, "p", 2, b"rows of %d" % shard)
    for part in ("0", "1"):
        stages.finish(folder.child(f"pixels/classifier/{part}"), "q", {"model": b"weights"}, {})
    stages.finish(folder.child("pixels/classifier"), "r", {"committee.json": b"[]"}, {})
    stages.finish(folder.child("pixels/calibration"), "s", {}, {"a": 1})
    folder.child("pixels/classifier/0/checkpoints").write("00003.json", b"not a mark")
    return folder


def marks(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*.json")}


def test_what_is_whole_stays(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    before = marks(tmp_path)
    assert discard_damaged(folder, "inputs") == []
    assert marks(tmp_path) == before
    assert discard_damaged(folder.child("nowhere"), "nowhere") == []


def test_an_altered_shard_is_made_pending(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    before, table = marks(tmp_path), tmp_path / "spaces/random/pool"
    (table / "00001.parquet").write_bytes(b"rows of 7")
    (table / "00002.json").write_bytes(b"{")
    lines = discard_damaged(folder, "inputs")
    assert [line.split(": ")[0] for line in lines] == [f"inputs/spaces/random/pool/0000{shard}" for shard in (1, 2)]
    assert "SHA-256 is not that of its mark" in lines[0]
    assert before - marks(tmp_path) == {f"spaces/random/pool/0000{shard}.json" for shard in (1, 2)}
    assert not (table / "00001.parquet").exists()
    assert (table / "00000.parquet").read_bytes() == b"rows of 0"


def test_an_altered_part_leaves_the_stage_above_it_unfinished(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    before = marks(tmp_path)
    (tmp_path / "pixels/classifier/1/model").write_bytes(b"weight")
    (line,) = discard_damaged(folder, "inputs")
    assert line.startswith("inputs/pixels/classifier/1: ")
    assert before - marks(tmp_path) == {"pixels/classifier/1/done.json", "pixels/classifier/done.json"}
