"""What is selected: the configuration's selections, resolved to one scheme, form of the weights and class each."""

from functools import partial
from typing import Literal, NamedTuple

from lfiw_ray.config_selections import Scheme, SelectionConfig
from lfiw_ray.core import sir
from lfiw_ray.core.rivals import FRESH
from lfiw_ray.core.weights import Monotone, flatten
from lfiw_ray.engine.run import Run
from lfiw_ray.errors import ConfigError

REPLACED = sir.NAMED
RANKED = ("gumbel", "top_k", "uniform", "reversed")
REJECTED = ("drs", "obrs")

Sums = Literal["diagnostics", "marks"] | None


class Wanted(NamedTuple):
    """One selection, or one class's part of it; small, and travels to tasks.

    Attributes
    ----------
    name : of the selection; the parts of several classes share it.
    form : from the log weights at rest to those used.
    sums : where the block sums of that form are on disk, if they are: the diagnostics' or the weights' done marks.
    num_candidates : m of the schemes that see m rows for each output.
    label : the class; None: all rows.
    bar : keys below it are not looked for (gumbel), nats.
    """

    name: str
    scheme: Scheme
    k: int
    seed: int
    form: Monotone
    sums: Sums
    num_candidates: int
    label: int | None = None
    bar: float = float("-inf")


def wanted_of(run: Run, form: Monotone, labels: list[int]) -> list[Wanted]:
    """All selections of a run.

    Parameters
    ----------
    form : the run's own form of the weights.
    labels : the classes of the samples, increasing; used by selections per class.
    """
    config = run.config.resample
    own = [SelectionConfig(scheme=scheme, k=config.k, per_class=config.per_class) for scheme in config.schemes]
    selections = zip(config.names, [*own, *config.more], strict=True)
    return [part for name, one in selections for part in _parts(run, name, one, form, labels)]


def _parts(run: Run, name: str, one: SelectionConfig, form: Monotone, labels: list[int]) -> list[Wanted]:
    seed = run.config.seed if one.seed is None else one.seed
    used = form if one.alpha is None else partial(flatten, alpha=one.alpha)
    candidates = run.config.generate.num_samples // max(one.k, 1)
    sums: Sums = "diagnostics" if one.alpha is None else "marks" if one.alpha == 1 else None
    whole = Wanted(name, one.scheme, one.k, seed, used, None if one.per_class else sums, candidates)
    if not one.per_class:
        return [whole]
    if one.scheme in FRESH:
        raise ConfigError(f"resample.per_class: {one.scheme} draws from fixed groups of rows and knows no classes")
    return [whole._replace(k=k, label=label) for label, k in even_budgets(one.k, labels).items()]


def even_budgets(k: int, labels: list[int]) -> dict[int, int]:
    """Class to budget: k split evenly, one more for the first classes where it does not divide."""
    share, rest = divmod(k, len(labels))
    return {label: share + (position < rest) for position, label in enumerate(labels)}
