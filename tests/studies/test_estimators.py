"""studies/estimators.py: a small run against the known answers."""

import json

import numpy as np
import pytest

from lfiw_ray.core import noise
from lfiw_ray.studies import estimators


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "NUM_REPLICATES", 400)
        yield estimators.study(1)


def _figures(case, key, quantity):
    return next(one for one in case["estimators"] if one["key"] == key)["values"][quantity]


def test_it_is_plain_and_a_function_of_the_seed(monkeypatch, found):
    monkeypatch.setattr(estimators, "NUM_REPLICATES", 20)
    monkeypatch.setattr(estimators, "SHAPES", (0.7,))
    a, b, c = (json.dumps(estimators.study(seed), allow_nan=False) for seed in (0, 0, 1))
    assert a == b != c
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_limits_are_those_of_gaussians():
    """p^a q^(1 - a) of N(mu, 1) and N(0, s^2) is Gaussian: precision a + (1 - a) / s^2."""
    for alpha in (0.0, 0.5, 1.0):
        precision = alpha + (1 - alpha) / 0.3
        mean = alpha * estimators.MU / precision
        got = estimators.limits(alpha, 0.0, np.sqrt(0.3))
        assert got["mean"] == pytest.approx(mean, abs=1e-9)
        assert got["second_moment"] == pytest.approx(mean**2 + 1 / precision, abs=1e-9)
    assert got["constant"] == pytest.approx(1, abs=1e-9)
    assert estimators.limits(1.0, 1e-9, np.sqrt(0.3))["mean"] == pytest.approx(estimators.MU, abs=1e-6)


def test_the_exact_ratio_has_mean_one_and_the_stated_tail():
    x = np.sqrt(0.3) * noise.generator(0, "test").standard_normal(1_000_000)
    log_w = np.sort(estimators.log_ratio(x, np.sqrt(0.3)))
    assert np.exp(log_w).mean() == pytest.approx(1, abs=0.1)
    tail = log_w[-1000:]  # Hill's estimator, biased by the logarithms
    assert (tail - tail[0]).mean() == pytest.approx(0.7, abs=0.15)


@pytest.mark.parametrize("quantity", ["mean", "second_moment", "constant"])
@pytest.mark.parametrize("key", ["plain", "flattened", "clipped"])
def test_bias_is_the_distance_of_the_limit(found, key, quantity):
    """At k = 0.2; z below 4.5 (false alarm 7e-6 a number) plus the 1 / N term, E_q[w^2 (f - mu)] / N < 0.004."""
    case = found["cases"][0]
    got = _figures(case, key, quantity)
    assert abs(got["bias"] - (got["limit"] - case["truth"][quantity])) < 4.5 * got["bias_se"] + 0.004


def test_the_self_normalised_variance_is_the_formulas(found):
    """N Var = E_q[w^2 (x - mu)^2], by quadrature at k = 0.2: 4.5 standard errors and 10 % for the next order."""
    sd = np.sqrt(0.8)
    x = np.linspace(-12, 12, 100_001)
    q = np.exp(-((x / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
    second = (q * np.exp(2 * estimators.log_ratio(x, sd)) * (x - estimators.MU) ** 2).sum() * (x[1] - x[0])
    expected = np.sqrt(second / estimators.NUM_ROWS)
    got = _figures(found["cases"][0], "self_normalised", "mean")
    assert abs(got["sd"] - expected) < 4.5 * got["sd_se"] + 0.1 * expected


def test_heavier_tails_have_larger_k_hat_and_fewer_effective_rows(found):
    k_hat = [case["k_hat"]["mean"] for case in found["cases"]]
    ess = [case["ess_fraction"]["mean"] for case in found["cases"]]
    assert k_hat == sorted(k_hat)
    assert ess == sorted(ess, reverse=True)
    assert abs(k_hat[1] - 0.7) < 0.05
    assert [case["variance_finite"] for case in found["cases"]] == [True, False, False]


@pytest.mark.parametrize("key", ["truncated", "smoothed"])
def test_a_treated_tail_trades_bias_for_variance(found, key):
    """At k = 0.7: the sd at most 0.7 of the self-normalised one, more bias, and a smaller error all the same."""
    treated, raw = (_figures(found["cases"][1], which, "mean") for which in (key, "self_normalised"))
    assert treated["sd"] < 0.7 * raw["sd"]
    assert treated["bias"] < raw["bias"] < 0
    assert treated["rmse"] < raw["rmse"]


def test_flattening_has_the_least_variance_and_a_bias_that_stays(found):
    for case in found["cases"][1:]:
        sds = {one["key"]: one["values"]["mean"]["sd"] for one in case["estimators"]}
        assert min(sds, key=sds.get) == "flattened"
        got = _figures(case, "flattened", "mean")
        assert got["bias"] < -20 * got["bias_se"]


def test_the_standard_errors_are_those_of_the_errors():
    """1,000 sets of 50 normal errors of mean 1 and sd 2: the stated standard errors are the observed ones, to 10 %."""
    sets = [estimators._errors(noise.generator(0, "errors", i).normal(1, 2, 50)) for i in range(1_000)]
    for name in ("bias", "sd", "rmse"):
        observed = np.std([one[name] for one in sets])
        assert np.mean([one[f"{name}_se"] for one in sets]) == pytest.approx(observed, rel=0.1)


def test_a_self_normalised_estimator_has_no_constant(found):
    assert _figures(found["cases"][0], "self_normalised", "constant") is None
