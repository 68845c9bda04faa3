"""Download the published files of a data set into a local folder.

A file gets its name only once it is whole and has its published MD5: it is written beside, checked, synced and
renamed.  So a folder never holds half a file, and a download that was cut off is simply done again.
"""

import hashlib
import http.client
import logging
import os
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from lfiw_ray.data.sources import Layout, SourceFile
from lfiw_ray.errors import DataError

TIMEOUT_S = 30.0
_PIECE_BYTES = 1 << 20
_log = logging.getLogger(__name__)


def md5_of(data: bytes) -> str:
    """Hex MD5: a fingerprint of published files, no protection against forgery."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def download(layout: Layout, files: Sequence[SourceFile], folder: Path) -> None:
    """Put the given files of a layout into a folder, made if need be.

    Raises
    ------
    DataError : the network, the server or the disk failed, or what came has another MD5.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if layout.archive_md5 is None:
            for file in files:
                with _fetched(layout.url + file.name, file.md5) as source:
                    _save(source, folder / file.name)
        else:
            with _fetched(layout.url, layout.archive_md5) as archive:
                _unpack(archive, layout, files, folder)
    except (OSError, http.client.HTTPException, tarfile.TarError) as err:
        raise DataError(f"download from {layout.url} failed: {err}") from err


@contextmanager
def _fetched(url: str, md5: str) -> Iterator[IO[bytes]]:
    """An unnamed temporary file, at its start, with the checked contents of a URL."""
    _log.info("downloading %s", url)
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.TemporaryFile() as file:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            while piece := response.read(_PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != md5:
            raise DataError(f"{url}: {file.tell()} bytes with MD5 {digest.hexdigest()} came, expected {md5}; try again")
        file.seek(0)
        yield file


def _unpack(archive: IO[bytes], layout: Layout, files: Sequence[SourceFile], folder: Path) -> None:
    """The members that are needed, by their exact names; nothing else of the archive is written."""
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        for file in files:
            try:
                member = tar.extractfile(f"{layout.subfolder}/{file.name}")
            except KeyError:
                member = None
            if member is None:
                raise DataError(f"{layout.url}: the archive has no file {layout.subfolder}/{file.name}")
            _save(member, folder / file.name)


def _save(source: IO[bytes], target: Path) -> None:
    """Write a file under its name in one step."""
    beside = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with beside.open("xb") as out:
            while piece := source.read(_PIECE_BYTES):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
