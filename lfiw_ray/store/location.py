"""Where a URL leads: its file system and path.

Credentials come from the environment, a profile or the machine's role, never from a URL, which is kept in run.json
and printed.  A custom endpoint and the region come from there too (`AWS_ENDPOINT_URL`, `AWS_DEFAULT_REGION` or
`AWS_REGION`, or the profile of `AWS_PROFILE`).
"""

import os
from typing import Any

import fsspec

from lfiw_ray.errors import StoreError
from lfiw_ray.places import refusal, without_credentials

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60  # without a single byte
_CONNECTIONS = 32


def refuse(url: str) -> None:
    """Raise StoreError, which does not repeat them, when a URL holds credentials or other tricks (`places`)."""
    if (reason := refusal(url)) is not None:
        raise StoreError(f"run folder {without_credentials(url)}: refused address: {reason}")


def locate(url: str) -> tuple[Any, str]:
    """The file system (fsspec keeps one instance of it a process) and the path in it.

    Raises
    ------
    StoreError
        When its protocol is not installed.
    """
    options = _s3_options() if url.startswith(("s3://", "s3a://")) else {}
    try:
        fs, root = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as err:
        raise StoreError(f"run folder {url}: {err}") from err
    if options:
        fs.retries = 1  # `patience` retries, and no layer below it: their waits would multiply
    return fs, str(root).rstrip("/")


def is_s3(fs: Any) -> bool:
    """Whether a file system speaks S3."""
    return "s3" in fs.protocol


def _s3_options() -> dict[str, Any]:
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")  # botocore reads the first alone
    return {
        "use_listings_cache": False,  # other processes write too
        "max_concurrency": 1,  # an object is read by one request, without asking for its size first
        "config_kwargs": {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "max_pool_connections": _CONNECTIONS,
        },
        "client_kwargs": {"region_name": region} if region else {},
    }
