"""The boundary to code that is not ours: a user's generator may raise anything.

Whatever it raises is raised again as an expected failure that says what was asked of it and what it said; nothing is
swallowed.  Failures that are expected already pass as they are.
"""

from types import TracebackType

from lfiw_ray.errors import GeneratorError, LfiwError


class ForeignCode:
    """A context around calls of foreign code; its exceptions leave as GeneratorError `<what>: <type>: <message>`."""

    def __init__(self, what: str):
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(err, Exception) and not isinstance(err, LfiwError):
            raise GeneratorError(f"{self._what}: {type(err).__name__}: {err}") from err
