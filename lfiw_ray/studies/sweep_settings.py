"""What a sweep tries: settings of a finite grid, and the rows that one of them selects from a pool.

When the grid has more points than there are trials, a random part of it is tried, without repeats, which depends on
the seed alone (Bergstra and Bengio 2012: for few important choices a random part of a grid beats a coarser grid).
The order is random too, so that trials that are stopped early are compared with a mixture.
"""

import math
from typing import NamedTuple

import numpy as np

from lfiw_ray.config_sweep import SweepConfig, SweepScheme
from lfiw_ray.core import noise, sir, topk
from lfiw_ray.core.calibration import Kind
from lfiw_ray.core.forms import Tail
from lfiw_ray.engine.arms import Rows

GUMBEL: tuple[SweepScheme, ...] = ("gumbel", "gumbel_ht")


class Setting(NamedTuple):
    """One trial's choices; see `config_sweep.SweepConfig`."""

    input: str
    calibrator: Kind
    alpha: float
    tail: Tail
    scheme: SweepScheme
    k: int

    @property
    def name(self) -> str:
        """How messages call it."""
        return ", ".join(f"{field} {value}" for field, value in self._asdict().items())


def grid_size(config: SweepConfig) -> int:
    """Number of different settings."""
    return math.prod(len(choices) for choices in _choices(config))


def settings_of(config: SweepConfig, seed: int) -> list[Setting]:
    """The settings that are tried, in a random order; all of the grid where there are trials enough."""
    choices = _choices(config)
    order = noise.generator(seed, "sweep settings").permutation(grid_size(config))[: config.num_trials]
    places = np.stack(np.unravel_index(order, [len(values) for values in choices]), axis=1)
    return [Setting(*(values[place] for values, place in zip(choices, row, strict=True))) for row in places]


def _choices(config: SweepConfig) -> tuple[list[str] | list[float] | list[int], ...]:
    return config.inputs, config.calibrators, config.alphas, config.tails, config.schemes, config.ks  # type: ignore[return-value]


def select(scheme: SweepScheme, log_w: np.ndarray, start: int, k: int, seed: int) -> Rows:
    """k rows of a pool, repeats included, and their log weights where the scheme's rows are to be weighted.

    The noise is a function of (seed, scheme, pool) and not of the trial: two trials that differ in their weights use
    the same uniforms, so that less of their difference is chance.

    Parameters
    ----------
    log_w : (N,) log weights of the pool, nats, in the form that is used.
    start : sample id of its first row.

    Raises
    ------
    ConfigError
        Gumbel-top-k is asked for more rows than have a positive weight.
    """
    if scheme in GUMBEL:
        top = topk.finish(topk.init(log_w, start, k, seed, "sweep gumbel"))
        return Rows(top.sample_ids, np.log(top.weight) if scheme == "gumbel_ht" else None)
    drawn = sir.resample(log_w, k, seed, sir.NAMED[scheme], start, f"sweep {scheme} {start}")
    return Rows(np.repeat(drawn.sample_ids, drawn.multiplicity), None)
