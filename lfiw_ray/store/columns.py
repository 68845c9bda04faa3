"""One column of Parquet files that others wrote: a file or a folder of them, at any fsspec URL."""

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from lfiw_ray.errors import DataError
from lfiw_ray.store.failures import explained, kinds


def read_files(url: str, name: str) -> pa.ChunkedArray:
    """A column of a file, or of all `*.parquet` files of a folder in the order of their names.

    Raises
    ------
    DataError
        Naming the file, when there is none, it cannot be read or has no such column.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url)
        paths = sorted(fs.glob(f"{path.rstrip('/')}/*.parquet")) if fs.isdir(path) else [path]
    except (ValueError, ImportError) as err:
        raise DataError(f"{url} cannot be opened: {err}") from err
    except kinds() as err:
        raise DataError(f"{url} cannot be opened: {explained(err)}") from err
    if not paths:
        raise DataError(f"{url} holds no *.parquet file")
    return pa.chunked_array([chunk for path in paths for chunk in _read(fs, path, name).chunks])


def _read(fs: fsspec.AbstractFileSystem, path: str, name: str) -> pa.ChunkedArray:
    try:
        with fs.open(path, "rb") as file:
            table = pq.ParquetFile(file)
            if name not in table.schema_arrow.names:
                raise DataError(f"{path} has no column {name!r}; it has {', '.join(table.schema_arrow.names)}")
            return table.read(columns=[name]).column(name)
    except pa.ArrowException as err:
        raise DataError(f"{path} cannot be read: {err}") from err
    except kinds() as err:
        raise DataError(f"{path} cannot be read: {explained(err)}") from err
