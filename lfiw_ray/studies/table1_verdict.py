"""Which arms of the table are nearer to the real rows than raw samples, by how much, how surely; and why others not.

Every arm is compared with raw samples of the same pool, so that what a pool has by chance cancels; the difference's
standard error is over the pools.  Its ratio to that error is compared with Student's t of R - 1 degrees of freedom
for R pools, two-sided, at 5 % shared by all arms of a table (Bonferroni): in a table where no arm differs, one is
called different in at most 5 % of all tables.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

from lfiw_ray.engine.measure import summary

LEVEL = 0.05
METRICS = ("fid", "kid")  # of which less is nearer
MIN_ESS_FRACTION = 0.15
MAX_K_HAT = 0.7
MIN_DISTINCT_FRACTION = 0.5


def threshold(num_arms: int, num_repeats: int) -> float:
    """Standard errors from which a difference is clear, with `num_arms` compared."""
    return float(stats.t.isf(LEVEL / (2 * num_arms), num_repeats - 1))


def differences(arms: Mapping[str, Any], metric: str) -> dict[str, dict[str, Any]]:
    """Every arm but raw against raw by a metric, paired by pool.

    Parameters
    ----------
    arms : {arm: {metric: {"values": R numbers}}}, with an arm `raw`.

    Returns
    -------
    {arm: {"mean", "se", "values", "z", "outcome"}}: arm less raw; z is mean / se, None where all differences are
    equal; the outcome is `helps`, `hurts` or `unclear`.
    """
    others = [name for name in arms if name != "raw"]
    raw = arms["raw"][metric]["values"]
    limit = threshold(len(others), len(raw))
    found = {}
    for name in others:
        difference = summary([a - b for a, b in zip(arms[name][metric]["values"], raw, strict=True)])
        z = difference["mean"] / difference["se"] if difference["se"] else None
        found[name] = difference | {"z": z, "outcome": outcome(difference["mean"], z, limit)}
    return found


def outcome(mean: float, z: float | None, limit: float) -> str:
    """`helps`, `hurts` or `unclear`; a difference that is the same in all pools is as clear as can be, unless 0."""
    if (z is None and mean == 0) or (z is not None and abs(z) < limit):
        return "unclear"
    return "helps" if mean < 0 else "hurts"


def why(name: str, about: Mapping[str, Any], figures: Mapping[str, Any], n: int, pool_rows: int) -> str:
    """What keeps an arm from helping, as far as its own figures tell.

    Parameters
    ----------
    about : of the arm, with `weighted` and `alpha`.
    figures : of the arm, with the means of `ess` and `distinct`, and `k_hat` (None where there is none).
    n, pool_rows : rows of the arm, and of the pool that it chose from.
    """
    fixed = {
        "uniform": "it draws from the generator, as raw samples do",
        "top_k": "it keeps the heaviest rows only, whatever the data's spread",
        "reversed": "it keeps the lightest rows only",
    }
    if name in fixed:
        return fixed[name]
    if about["alpha"] == 0:
        return "alpha is 0: no exponent passed, so that nothing is corrected"
    reasons = []
    ess, distinct, k_hat = figures["ess"]["mean"], figures["distinct"]["mean"], figures["k_hat"]
    if ess < MIN_ESS_FRACTION * n:
        reasons.append(f"it is worth {ess:,.0f} effective rows of {n:,}")
    if distinct < MIN_DISTINCT_FRACTION * n:
        reasons.append(f"only {distinct:,.0f} of its {n:,} rows are distinct")
    if about["weighted"] and k_hat is not None and k_hat > MAX_K_HAT:
        reasons.append(f"the tail of its weights is too heavy to average with, k_hat {k_hat:.2f}")
    if name == "gumbel" and n > pool_rows / 4:
        reasons.append(f"without repeats {n:,} of {pool_rows:,} rows must hold light ones too")
    if reasons:
        return "; ".join(reasons)
    seen = f"ESS {ess:,.0f} of {n:,}, {distinct:,.0f} distinct rows"
    tail = "" if k_hat is None else f", k_hat {k_hat:.2f}"
    return f"{seen}{tail}: neither spread nor repeats explain it; what is left is how right the weights are"


def sentence(table: Mapping[str, Any], about: Mapping[str, Any], metric: str) -> str:
    """One table's verdict by a metric in words: which arms help, which make it worse, which do neither, and why."""
    found = table["differences"][metric]
    by: dict[str, list[str]] = {kind: [] for kind in ("helps", "hurts", "unclear")}
    for name, difference in found.items():
        by[difference["outcome"]].append(name)
    limit = threshold(len(found), table["num_repeats"])
    head = (
        f"{metric.upper()} in “{table['extractor']}”, {table['num_rows']:,} rows against "
        f"{table['reference']['label']}: {len(by['helps'])} of {len(found)} arms are clearly nearer to the real rows "
        f"than raw samples (beyond {limit:.1f} standard errors)"
    )
    parts = []
    for kind, words in (("helps", "Nearer"), ("hurts", "Farther"), ("unclear", "No clear difference")):
        if by[kind]:
            told = [_told(name, found[name], about, table, with_reason=kind != "helps") for name in by[kind]]
            parts.append(f"{words}: {'; '.join(told)}.")
    return f"{head}. {' '.join(parts)}"


def _told(
    name: str, difference: Mapping[str, Any], about: Mapping[str, Any], table: Mapping[str, Any], with_reason: bool
) -> str:
    z = difference["z"]
    errors = "the same in all pools" if z is None else f"{abs(z):.1f} standard errors"
    text = f"{about[name]['label']} {signed(difference['mean'])} ({errors})"
    if not with_reason:
        return text
    return f"{text}, as {why(name, about[name], table['arms'][name], table['num_rows'], table['pool_rows'])}"


def signed(value: float) -> str:
    """A difference to three significant digits with its sign."""
    return f"{value:+.3g}" if math.isfinite(value) else "n/a"


def mean_k_hat(values: Sequence[float | None]) -> float | None:
    """Mean over the pools in which a shape could be told; None when it could in none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
