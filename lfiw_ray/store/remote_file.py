"""A file of an object store for reading parts of it: each read is one request for exactly its bytes.

s3fs' own file reads 50 MB ahead, and a request that fails in the middle of its answer is not always made again.
"""

import io
from collections.abc import Callable


class RemoteFile(io.RawIOBase):
    """`size_bytes` bytes; `fetch(start, stop)` gives those of a range, or raises."""

    def __init__(self, size_bytes: int, fetch: Callable[[int, int], bytes]):
        self._size_bytes, self._fetch, self._at = size_bytes, fetch, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; see `io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the file's start")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, or all that are left."""
        stop = self._size_bytes if size is None or size < 0 else min(self._at + size, self._size_bytes)
        if stop <= self._at:
            return b""
        data = self._fetch(self._at, stop)
        self._at = stop
        return data

    def readall(self) -> bytes:
        """All that are left."""
        return self.read()
