"""Which names and addresses may be used: the one place that refuses path traversal, URL tricks and credentials.

A *name* is of a file or folder below one that is known: it comes from a done mark, a data set, or a setting, and must
stay below.  An *address* comes from the configuration, from who starts the job: a path of this machine, which may be
any that its owner may use, or a URL of a file system that is known, without anything that is not the plain address:

| refused | because |
|---|---|
| another scheme, `a::b`, `data:` | file systems that run programs, read archives or templates, or hold their contents |
| `..`, `.`, `%2e`, `%2f`, `%5c`, `%00`, `\\` in a URL's path | two programs may read two places in it |
| `user:password@`, a query of http | it would be kept in run.json, shown in the report, and logged |
| control characters | they end a path, or forge a line of a log |

Messages never hold the refused address, which may be a secret.
"""

import re
from reprlib import Repr
from typing import Any

from lfiw_ray.errors import StoreError

SCHEMES = (
    *("file", "local", "memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "hf"),
    *("hdfs", "webhdfs", "http", "https"),
)
_BUCKETS = ("s3", "s3a", "gs", "gcs", "oss")  # whose first part is a bucket's name and nothing else
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENCODED = re.compile(r"%(25)*(2e|2f|5c|00)", re.IGNORECASE)  # also encoded twice
_BUCKET = re.compile(r"[\w.\-]*|arn:aws[\w\-]*:s3[\w:.\-]*")
_HOST = re.compile(r"([^\s:@]*|\[[0-9A-Fa-f:.]+\])(:\d*)?")
_CREDENTIALS = re.compile(r"(://)[^\s'\"]*@")
_QUERY = re.compile(r"(https?://[^\s'\"?#]*[?#])[^\s'\"]*")
_SHOWN_LETTERS = 200


def below(name: str) -> str:
    """The name itself, one or more parts joined by `/`, when it stays below the folder it is used in.

    Raises
    ------
    StoreError
        For an absolute path, a URL, and any part that leads elsewhere.
    """
    leads_away = any(part in ("", ".", "..") for part in name.split("/"))
    if leads_away or "\\" in name or "::" in name or _CONTROL.search(name) or _ENCODED.search(name):
        raise StoreError(f"{name!r} is not the name of a file inside a run folder; the file that names it was altered")
    return name


def refusal(address: str) -> str | None:
    """Why an address of the configuration is refused, in words that do not repeat it; None when it may be used."""
    if _CONTROL.search(address):
        return "it holds a control character"
    if "::" in address or address.lower().startswith("data:"):
        return "chained and inline addresses are refused; name the file or folder itself"
    found = _SCHEME.match(address)
    if found is None:
        return "the part before :// is not the name of a file system" if "://" in address else None
    scheme = found[1].lower()
    if scheme not in SCHEMES:
        return f"{scheme}:// is refused; known are {', '.join(SCHEMES)}, and paths"
    return _host_refusal(scheme, address[found.end() :]) or _path_refusal(scheme, address[found.end() :])


def checked(address: str | None) -> str | None:
    """The address itself; ValueError, without the address, when it is refused."""
    reason = None if address is None else refusal(address)
    if reason is not None:
        raise ValueError(f"refused address: {reason}")
    return address


def _host_refusal(scheme: str, rest: str) -> str | None:
    host = rest.split("/", 1)[0]
    plain = _BUCKET if scheme in _BUCKETS else _HOST
    if scheme.startswith("ab") or scheme == "az":  # container@account
        container, at, host = host.rpartition("@")
        if at and not _BUCKET.fullmatch(container):
            return _NO_CREDENTIALS
    return None if plain.fullmatch(host) else _NO_CREDENTIALS


def _path_refusal(scheme: str, rest: str) -> str | None:
    if any(part in (".", "..") for part in rest.split("/")) or "\\" in rest or _ENCODED.search(rest):
        return "its path holds . or .. or an encoded character of a path; write it out"
    if scheme.startswith("http") and ("?" in rest or "#" in rest):
        return "an address with a query is refused, it may hold a signature; fetch the file, or name its bucket"
    return None


_NO_CREDENTIALS = (
    "what follows :// is not a plain bucket or host; give credentials by the environment, a profile or a role, never "
    "in an address"
)


class _Short(Repr):
    """A value's text of a few hundred letters at most, however deep, long, large or often referred to it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = _SHOWN_LETTERS

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002
        return repr(x) if x.bit_length() <= _SHOWN_LETTERS else f"a whole number of {x.bit_length()} bits"


def shown(value: Any) -> str:
    """A value for a message: without what may be credentials in an address, and not longer than a line or two."""
    return without_credentials(_Short().repr(value))


def printable(text: str) -> str:
    """A message without credentials, and without letters that a terminal or a log takes for commands or new lines."""
    letters = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "replace").decode() for c in text)
    return without_credentials("".join(letters))


def without_credentials(text: str) -> str:
    """A message with everything between `://` and `@`, and every query of http, replaced by stars."""
    return _QUERY.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))
