"""Results of the studies for the report's tests: the toy study itself on few points, made-up ones for the others."""

from functools import cache
from typing import Any

from lfiw_ray.studies import toy

_SIZES = toy.Sizes(
    num_points=200,
    num_bootstraps=50,
    num_data_sets=2,
    num_coverage_bootstraps=20,
    num_outputs=200,
    num_repeats=3,
    ks=(1, 2, 5, 20, 100, 1_000),
)
QUANTITIES = {"mean": "E[x]", "second_moment": "E[x^2]", "constant": "E_q[w] = 1"}
FORMS = {"plain": "plain", "self_normalised": "self-normalised", "smoothed": "Pareto-smoothed"}


def _with_error(name: str, value: float) -> dict[str, float]:
    return {name: value, f"{name}_se": value / 17}


def _errors(size: float) -> dict[str, float]:
    bias, sd = _with_error("bias", -0.3 * size), _with_error("sd", size)
    return {"limit": 1.25, **bias, **sd, **_with_error("rmse", 1.044 * size)}


def estimators() -> dict[str, Any]:
    """Two cases of three forms."""
    cases = []
    for place, k in enumerate((0.2, 0.97)):
        rows = [
            {
                "key": key,
                "label": label,
                "alpha": 1.0,
                "beta": 0.0,
                "tail": "none",
                "values": {
                    quantity: None if (key, quantity) == ("self_normalised", "constant") else _errors(0.1 * (i + j + 1))
                    for j, quantity in enumerate(QUANTITIES)
                },
            }
            for i, (key, label) in enumerate(FORMS.items())
        ]
        about = {"k": k, "proposal_sd": (1 - k) ** 0.5, "variance_finite": place == 0}
        figures = {"k_hat": {"mean": 0.31, "se": 0.002}, "ess_fraction": {"mean": 0.65, "se": 0.001}}
        truth = {"mean": 0.5, "second_moment": 1.25, "constant": 1.0}
        cases.append({**about, **figures, "truth": truth, "estimators": rows})
    return {"num_rows": 1_000, "num_replicates": 4_000, "mu": 0.5, "quantities": QUANTITIES, "cases": cases}


def telescoping() -> dict[str, Any]:
    """Two models, three distances, all arms: single classifiers stop at 18 nats."""
    arms = []
    for kl_nats in (20.0, 50.0, 100.0):
        for model in ("quadratic", "network"):
            for arm in ("single", "single_long", "telescoped"):
                found = 18.0 if "single" in arm else 0.9 * kl_nats
                numbers = _with_error("kl_estimate_nats", found) | _with_error("reverse_kl_estimate_nats", found + 0.5)
                numbers |= _with_error("error_nats", kl_nats - found) | _with_error("correlation", 0.97)
                numbers |= _with_error("slope", found / kl_nats) | _with_error("correlation_generated", 0.8)
                arms.append({"kl_nats": kl_nats, "model": model, "arm": arm, "num_updates": 600, **numbers})
    sizes = {"num_dims": 10, "num_rows": 10_000, "num_bridges": 12, "num_repeats": 3}
    return {**sizes, "arms": arms}


def gaussians() -> dict[str, Any]:
    """Two numbers of dimensions."""
    names = ("correlation", "slope", "error_nats", "log_loss_nats", "bayes_log_loss_nats", "excess_log_loss_nats")
    names += ("raw_excess_log_loss_nats", "mean_w", "true_mean_w", "ess_fraction", "true_ess_fraction")
    cases, examples = [], []
    for num_dims in (2, 50):
        values = {name: 0.9 + 0.001 * num_dims + 0.01 * place for place, name in enumerate(names)}
        numbers = [_with_error(name, value) for name, value in values.items()]
        cases.append({"num_dims": num_dims} | {k: v for number in numbers for k, v in number.items()})
        examples.append({"num_dims": num_dims, "true": [-1.0, 0.0, 2.5], "estimated": [-0.9, 0.1, 2.0]})
    sizes = {"kl_nats": 0.5, "num_rows": 8_000, "num_test_rows": 10_000, "num_repeats": 3}
    return {**sizes, "cases": cases, "example": examples}


@cache
def studies() -> dict[str, dict[str, Any]]:
    """Study to its results."""
    made_up = {"estimators": estimators(), "telescoping": telescoping(), "gaussians": gaussians()}
    return {"toy": toy.study(0, _SIZES), **made_up}
