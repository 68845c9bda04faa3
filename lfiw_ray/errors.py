"""The exception classes of the project.

Every message names the field, row or file at fault and says what to do.  `LfiwError` and its children
are expected failures: a job prints the message without a traceback and ends with `exit_code`.
"""


class LfiwError(Exception):
    """Base of all expected failures.  Exit code 2: the user can mend the input and run again."""

    exit_code = 2


class ConfigError(LfiwError):
    """A configuration value that cannot be used: unknown key, wrong type, impossible combination."""


class DataError(LfiwError):
    """Real data that are missing, truncated, altered, or of unequal shape."""


class GeneratorError(LfiwError):
    """A generator that raised, or gave what is not images of the run; names the sample ids."""


class StoreError(LfiwError):
    """A run folder that cannot be read or written: permission, full disk, foreign plan."""


class MissingFileError(StoreError):
    """A file of a run folder that is not there."""


class ShardError(StoreError):
    """A shard whose bytes do not fit its done mark."""


class NonFiniteError(LfiwError):
    """NaN or infinity where a finite number is needed; names the rows or the step."""


class CollapsedError(LfiwError):
    """Weights of which a single row holds all, so that a set has no spread; names the set."""


class WorkerError(LfiwError):
    """Work on the cluster that failed for good.  Exit code 1: nothing is wrong with the input."""

    exit_code = 1
