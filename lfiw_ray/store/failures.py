"""What went wrong in storage: whether it may pass by itself, and what a user can do about it."""

import errno
import sys
from types import ModuleType

from lfiw_ray.places import without_credentials

_HELP = {
    errno.ENOSPC: "the disk is full; free some space and run again, finished shards are kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, finished shards are kept",
    errno.EACCES: "no permission; choose another run folder (--run) or change its owner",
    errno.EPERM: "no permission; choose another run folder (--run) or change its owner",
    errno.EROFS: "the file system is read-only; choose another run folder (--run)",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another run folder (--run)",
    errno.EEXIST: "a file stands where a folder is needed; choose another run folder (--run)",
}


def kinds(*others: type[BaseException]) -> tuple[type[BaseException], ...]:
    """Classes of a request's failures, and others."""
    return (OSError, *(kind for s3 in _s3() for kind in s3.KINDS), *others)


def may_pass(err: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(err, TimeoutError | ConnectionError) or any(s3.may_pass(err) for s3 in _s3())


def is_missing(err: BaseException) -> bool:
    """Whether a file is not there; where there is no bucket, that is something else."""
    return isinstance(err, FileNotFoundError) and not any(s3.no_bucket(err) for s3 in _s3())


def reason(err: BaseException) -> str:
    """What happened, without secrets."""
    said = [*(s3.message(err) for s3 in _s3()), getattr(err, "strerror", None), str(err), type(err).__name__]
    return without_credentials(next(filter(None, said)))


def explained(err: BaseException) -> str:
    """What happened and what to do."""
    if is_missing(err):
        return "no such file"
    known = _HELP.get(getattr(err, "errno", None) or 0, "check the storage and run again, finished shards are kept")
    advice = next(filter(None, [s3.advice(err) for s3 in _s3()]), known)
    return f"{reason(err)}; {advice}"


def _s3() -> tuple[ModuleType, ...]:
    """The module that knows S3's failures, once there can be any."""
    if "s3fs" not in sys.modules:
        return ()
    from lfiw_ray.store import s3_failures  # here, for its libraries take a second to load

    return (s3_failures,)
