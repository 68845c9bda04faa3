"""What the paper's table computes of one generator in one feature space, how much of it, and where it lies.

    <run>/table1/<plan>/rows/                   the rows of every arm; shard r is pool r
    <run>/table1/<plan>/embedded/real/          features of the real rows
    <run>/table1/<plan>/embedded/pool-03/       features of the distinct rows of all arms of a pool
    <run>/table1/<plan>/reference-<protocol>/   the floor that other real rows set
    <run>/table1/<plan>/repeat-03/              figures of every arm of a pool, per protocol

The plan holds the extractor, the sizes and the plans of the weights; that of another choice lies beside it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from lfiw_ray.core.digest import digest
from lfiw_ray.engine.run import Run
from lfiw_ray.errors import ConfigError
from lfiw_ray.store.folder import Folder

FORMAT = 2  # raised when the study computes or keeps something else


class Protocol(NamedTuple):
    """n samples against n real rows, of the published `test` rows or of the `train` rows."""

    name: str
    num_rows: int
    reference: str


class Sizes(NamedTuple):
    """How much work, and the lower clip of the clipped arm in units of the mean weight."""

    protocols: tuple[Protocol, ...]
    num_repeats: int = 10
    beta: float = 1.0


SMALL = Sizes((Protocol("paper", 1_000, "test"), Protocol("today", 2_000, "train")))
FULL = Sizes((Protocol("paper", 10_000, "test"), Protocol("today", 50_000, "train")))


class Job(NamedTuple):
    """What the tasks of one generator and one extractor need to know."""

    run: Run
    extractor: str
    sizes: Sizes
    alpha: float
    plan: str

    def folder(self, name: str) -> Folder:
        """One of the folders of the module docstring."""
        return self.run.folder("table1").child(self.plan).child(name)

    @property
    def pool_rows(self) -> int:
        """Rows of each of the disjoint pools."""
        return self.run.config.generate.num_samples // self.sizes.num_repeats


def job_of(run: Run, extractor: str, sizes: Sizes, alpha: float) -> Job:
    """The job with its plan.

    Raises
    ------
    ConfigError
        The pools have fewer rows than an arm.
    """
    job = Job(run, extractor, sizes, alpha, _plan(run, extractor, sizes))
    most = max(protocol.num_rows for protocol in sizes.protocols)
    if job.pool_rows < most:
        raise ConfigError(
            f"generate.num_samples: {sizes.num_repeats} disjoint pools of {run.config.generate.num_samples:,} "
            f"samples have {job.pool_rows:,} rows each, but an arm has {most:,}; raise it, or lower --num-rows or "
            "--num-repeats"
        )
    return job


def _plan(run: Run, extractor: str, sizes: Sizes) -> str:
    before: Sequence[str] = ["diagnostics", *(["domain"] if extractor == "domain" else [])]
    evaluate = run.config.evaluate
    space = {"extractor": extractor, "dtype": evaluate.feature_dtype, "neighbours": evaluate.num_neighbours}
    plans = [run.plans[name] for name in before]
    return digest({"study": "table1", "format": FORMAT, "before": plans, **space, "sizes": list(sizes)})
