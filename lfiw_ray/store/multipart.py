"""Objects put whole: a small one by one request, a large one in parts that become visible together at the end.

A part that fails is put again alone; when that does not help, or the storage has forgotten the upload, the caller puts
the whole object again.  A writer that was killed leaves an upload that nobody sees but somebody pays for; the next
write of the same object removes it, as `folder` does with temporary files on a disk.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from lfiw_ray.store.location import is_s3
from lfiw_ray.store.patience import WAITS_S, patiently

PART_BYTES = 16 * 2**20  # a failed part costs this much again; S3 allows 10,000 of them
_PARTS_AT_ONCE = 8
_PART_WAITS_S = WAITS_S[:4]
SILENT_S = 60.0  # the HTTP library waits for ever for a server that takes a request and never answers
_SLOWEST_BYTES_A_S = 2**18


def put(fs: Any, path: str, data: bytes) -> None:
    """Put an object; a reader sees the old one until the new one is complete.

    Raises
    ------
    TimeoutError
        And other failures of the requests; see `failures`.
    """
    if not is_s3(fs):
        fs.pipe_file(path, data)
    elif len(data) <= PART_BYTES:
        fs.pipe_file(path, data, timeout=_limit_s(data))
    else:
        _put_parts(fs, path, data)
        _abort_unfinished(fs, path)


def _put_parts(fs: Any, path: str, data: bytes) -> None:
    bucket, key, _ = fs.split_path(path)

    def ask(method: str, body: bytes = b"", **given: Any) -> Any:
        given |= {"Body": body} if body else {}
        what = f"{method} of {path}"
        return patiently(
            what,
            lambda: fs.call_s3(method, Bucket=bucket, Key=key, timeout=_limit_s(body), **given),
            _PART_WAITS_S,
        )

    def put_part(number: int) -> dict[str, Any]:
        body = data[(number - 1) * PART_BYTES : number * PART_BYTES]
        return {"PartNumber": number, "ETag": ask("upload_part", body, UploadId=upload, PartNumber=number)["ETag"]}

    upload = ask("create_multipart_upload")["UploadId"]
    writers = ThreadPoolExecutor(_PARTS_AT_ONCE)
    try:
        parts = list(writers.map(put_part, range(1, -(-len(data) // PART_BYTES) + 1)))
    finally:
        writers.shutdown(cancel_futures=True)
    ask("complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": parts})


def _limit_s(body: bytes) -> float:
    return SILENT_S + len(body) / _SLOWEST_BYTES_A_S


def _abort_unfinished(fs: Any, path: str) -> None:
    bucket, key, _ = fs.split_path(path)
    found = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
    for upload in found.get("Uploads", []):
        if upload["Key"] == key:
            with suppress(FileNotFoundError):  # gone by itself
                fs.abort_mpu(bucket, key, upload["UploadId"])
