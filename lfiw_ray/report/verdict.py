"""The first sentence of the page: does resampling help, by how much, how surely, on how many effective rows.

A difference of two standard errors or more in a feature space counts as clear; the headline needs all feature
spaces to agree, and says so when they do not.
"""

from typing import Any, NamedTuple

from lfiw_ray.report.cells import is_number, missing, percent, told, told_with_error

_CLEAR_Z = 2.0
_NAMES = {"fid": "FID", "kid": "KID"}


class Verdict(NamedTuple):
    """`tone` is good, bad or unclear."""

    tone: str
    headline: str
    sentences: list[str]


def outcome(change: dict[str, Any]) -> str:
    """`helps`, `hurts` or `unclear` in one feature space, for a metric of which less is better."""
    raw, resampled, z = change["raw"]["mean"], change["resampled"]["mean"], change["difference"]["z"]
    if not (is_number(raw) and is_number(resampled) and is_number(z)) or abs(z) < _CLEAR_Z or raw == resampled:
        return "unclear"
    return "helps" if resampled < raw else "hurts"


def verdict(evaluation: dict[str, Any], chosen: dict[str, Any], gate_passed: bool) -> Verdict:
    """Headline and evidence from `evaluation["improvement"]` and the diagnostics of the chosen weights."""
    changes = evaluation["improvement"]
    if not changes:
        return Verdict("unclear", "No feature space was evaluated, so there is no verdict.", [])
    outcomes = {name: outcome(change) for name, change in changes.items()}
    first = next(iter(changes.values()))
    tone, headline = _headline(set(outcomes.values()), first)
    if not gate_passed:
        tone, headline = "bad", f"The weights fail their gate. {headline}"
    sentences = [_evidence(name, change, outcomes[name]) for name, change in changes.items()]
    sentences.append(
        f"All arms have {evaluation['num_rows']:,} rows, over {evaluation['num_repeats']} disjoint parts of the pool. "
        f"The weights are worth {told(chosen['ess'])} effective rows of {chosen['n']:,} "
        f"({percent(chosen['ess_fraction'])})."
    )
    return Verdict(tone, headline, sentences)


def _headline(outcomes: set[str], first: dict[str, Any]) -> tuple[str, str]:
    metric = _NAMES.get(first["metric"], first["metric"])
    if outcomes == {"helps"}:
        return "good", f"Resampling helps: {metric} falls by {_relative(first)}."
    if outcomes == {"hurts"}:
        return "bad", f"Resampling makes it worse: {metric} rises by {_relative(first)}."
    if outcomes == {"unclear"}:
        return "unclear", "Resampling makes no clear difference."
    return "unclear", "The feature spaces disagree: resampling does not clearly help in all of them."


def _relative(change: dict[str, Any]) -> str:
    raw, resampled = change["raw"]["mean"], change["resampled"]["mean"]
    return percent(abs(resampled - raw) / abs(raw) if raw else None, 0)


def _evidence(name: str, change: dict[str, Any], result: str) -> str:
    metric = _NAMES.get(change["metric"], change["metric"])
    z = change["difference"]["z"]
    errors = f"standard errors n/a ({missing(z)})" if missing(z) else f"{abs(z):.1f} standard errors"
    closing = {"helps": "closer", "hurts": "farther away", "unclear": "no clear difference"}[result]
    raw, resampled = (told_with_error(change[side]["mean"], change[side]["se"]) for side in ("raw", "resampled"))
    change_text = f"{metric} goes from {raw} (raw samples) to {resampled} (resampled)"
    return f"In the feature space “{name}”, {change_text}: {closing}, {errors}."
