"""A folder in a bucket: whole objects or none, few requests, and nothing unfinished is read."""

import os
from collections.abc import Callable

import fsspec
import numpy as np
import pytest
from faulty_proxy import Faults, FaultyProxy

from lfiw_ray.errors import MissingFileError, ShardError, StoreError
from lfiw_ray.store import multipart, shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.location import locate
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.tables import images_of, read_rows, samples_table, to_parquet

NONE = Faults(0.0)


@pytest.fixture
def folder(bucket: str) -> Folder:
    return Folder(f"{bucket}/run/samples")


def test_files_come_and_go(folder: Folder):
    assert folder.sizes() == {}
    assert not folder.exists("a")
    assert folder.find("a") is None
    folder.write("a", b"first")
    folder.write("a", memoryview(b"second!"))
    folder.write("b", b"")
    assert folder.read("a") == b"second!"
    assert folder.sizes() == {"a": 7, "b": 0}
    assert folder.exists("a")
    with folder.open("a") as file:
        assert file.seek(-4, os.SEEK_END) == 3
        assert [file.read(2), file.read(), file.read()] == [b"on", b"d!", b""]
        assert file.tell() == 7
    folder.remove("a")
    folder.remove("a")
    assert folder.sizes() == {"b": 0}
    assert Folder(folder.url.rsplit("/", 1)[0]).exists("samples")


def test_a_missing_file_is_named_by_its_url(folder: Folder):
    with pytest.raises(MissingFileError, match=rf"cannot read {folder.url}/nothing: no such file"):
        folder.read("nothing")
    with pytest.raises(MissingFileError, match="samples/nothing"), folder.open("nothing"):
        pass


def test_an_empty_object_that_stands_for_the_folder_is_no_file(folder: Folder):
    fs, root = locate(folder.url)
    bucket, key, _ = fs.split_path(root)
    fs.call_s3("put_object", Bucket=bucket, Key=f"{key}/", Body=b"")
    assert folder.sizes() == {}


def test_a_large_file_goes_in_parts_and_leaves_no_unfinished_upload(
    folder: Folder, proxy: Callable[[Faults], FaultyProxy], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(multipart, "PART_BYTES", 5 * 2**20)  # the least that S3 allows
    before = proxy(NONE)
    data = np.arange(13 * 2**17, dtype=np.int64).tobytes()
    left_by_a_killed_writer(folder, "a", data[: 5 * 2**20])
    folder.write("a", b"old")
    assert folder.read("a") == b"old"  # the upload is invisible
    before.requests.clear()
    folder.write("a", data)
    assert before.requests["PUT"] == 3  # 5 + 5 + 3 MiB
    assert folder.read("a") == data
    assert unfinished(folder) == []


def left_by_a_killed_writer(folder: Folder, name: str, part: bytes) -> None:
    """A multipart upload that was begun and never completed."""
    fs, root = locate(folder.url)
    bucket, key, _ = fs.split_path(f"{root}/{name}")
    upload = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)["UploadId"]
    fs.call_s3("upload_part", Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=part)
    assert len(unfinished(folder)) == 1


def unfinished(folder: Folder) -> list[str]:
    fs, root = locate(folder.url)
    bucket, key, _ = fs.split_path(root)
    uploads = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads", [])
    return [upload["Key"] for upload in uploads]


def test_nothing_unfinished_is_ever_read(folder: Folder):
    table = Table(folder.url, "plan", Layout(12, 3))
    shards.commit(folder, 0, "plan", 3, b"rows")
    folder.write(shards.data_name(1), b"rows without a mark")
    left_by_a_killed_writer(folder, shards.data_name(2), bytes(5 * 2**20))
    assert shards.pending(table) == [1, 2, 3]
    assert [table.is_done(shard) for shard in range(4)] == [True, False, False, False]
    for shard in (1, 2, 3):
        with pytest.raises(ShardError, match="is not committed"):
            table.read(shard)
    folder.remove(shards.data_name(0))
    with pytest.raises(ShardError, match=r"00000\.parquet is missing although it is marked as done"):
        table.read(0)


def test_a_folder_of_many_shards_is_listed_by_pages_and_not_file_by_file(
    folder: Folder, proxy: Callable[[Faults], FaultyProxy]
):
    shards.commit(folder, 0, "plan", 1, b"rows")
    shards.commit(folder, 1049, "plan", 1, b"rows")
    fs, root = locate(folder.url)
    fs.pipe({f"{root}/{shards.data_name(shard)}": b"r" for shard in range(1, 1049)})
    between = proxy(NONE)
    assert shards.pending(Table(folder.url, "plan", Layout(1050, 1))) == list(range(1, 1049))
    assert dict(between.requests) == {"GET": 2 + 2}  # pages of 1,000 names, and marks


def test_a_reader_of_parts_asks_for_these_parts(folder: Folder, proxy: Callable[[Faults], FaultyProxy]):
    x = np.arange(8192 * 192, dtype=np.int64).astype(np.uint8).reshape(8192, 8, 8, 3)
    shards.commit(folder, 0, "plan", 8192, to_parquet(samples_table(np.arange(8192), x)))
    between = proxy(NONE)
    with Table(folder.url, "plan", Layout(8192, 8192)).open(0) as file:
        ((_, part),) = read_rows(file, np.array([2050, 2051]), "here")
    np.testing.assert_array_equal(images_of(part), x[2050:2052])
    assert between.requests["HEAD"] == 1
    assert between.requests["GET"] <= 6  # mark, tail, footer, two columns
    assert between.answered_bytes < 0.5 * x.nbytes


@pytest.mark.usefixtures("no_waits")
def test_a_store_error_in_the_middle_of_a_parquet_file_stays_one(
    folder: Folder, proxy: Callable[[Faults], FaultyProxy]
):
    x = np.zeros((4096, 2, 2, 3), np.uint8)
    shards.commit(folder, 0, "plan", 4096, to_parquet(samples_table(np.arange(4096), x)))
    between = proxy(NONE)
    with Table(folder.url, "plan", Layout(4096, 4096)).open(0) as file:
        between.set_faults(Faults(1.0, ("error",)))
        with pytest.raises(StoreError, match=rf"cannot read {folder.url}/00000.parquet: injected"):
            list(read_rows(file, np.array([3]), "here"))


def test_credentials_in_a_url_are_refused_and_not_repeated():
    with pytest.raises(StoreError, match="credentials") as caught:
        Folder("s3://key:hush-hush@bucket/run")
    assert "hush" not in str(caught.value)


def test_one_file_system_serves_all_folders_of_a_process_and_no_other_use(bucket: str):
    assert locate(f"{bucket}/a")[0] is locate(f"{bucket}/b")[0]
    assert fsspec.filesystem("s3").retries > 1
