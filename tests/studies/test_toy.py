"""The toy study against what is known: Bayes' curve, distances of shifts, the law of SIR."""

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from lfiw_ray.studies import toy

SMALL = toy.Sizes(
    num_points=1_000,
    num_bootstraps=50,
    num_data_sets=3,
    num_coverage_bootstraps=50,
    num_outputs=1_000,
    num_repeats=6,
    ks=(1, 2, 5, 100),
)
LINE = np.linspace(-16, 16, 8_001)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return toy.study(3, SMALL)


@pytest.fixture(scope="module")
def fitted() -> toy.Fitted:
    return toy.fit_toy(0, 0, 1_000, 1)


def test_bayes_by_hand() -> None:
    """At -2: p = 0.4 / (0.7 sqrt(2 pi)) + 0.6 phi(3.5), q = phi(1) / 2 with phi the standard normal density."""
    phi = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (0.0, 3.5, 1.0)]
    p, q = 0.4 * phi[0] / 0.7 + 0.6 * phi[1], phi[2] / 2
    generator = toy.Fitted(0.0, 2.0, np.zeros(1), np.zeros((0, 1)))
    assert toy.bayes(generator, np.array([-2.0])) == pytest.approx([p / (p + q)])


def test_the_points_are_of_the_mixture_and_the_generator_has_its_moments() -> None:
    """Level 1e-6; moments of the mixture 0.1 and 0.796 + 2.94, their standard errors 0.02 and below 0.03."""
    points = toy.real_points(np.random.default_rng(0), 10_000)
    assert stats.kstest(points, toy.real_cdf).pvalue > 1e-6
    assert np.gradient(toy.real_cdf(LINE), LINE) == pytest.approx(toy.real_density(LINE), abs=1e-4)
    fitted = toy.fit_toy(0, 0, 10_000, 0)
    assert fitted.mean == pytest.approx(0.1, abs=0.1)
    assert fitted.sd**2 == pytest.approx(0.796 + 2.94, abs=0.15)


def test_the_estimate_is_near_bayes() -> None:
    curves = toy.study(0, SMALL._replace(num_points=20_000, num_repeats=2, ks=(1,)))
    gap = np.abs(np.subtract(curves["estimated"], curves["bayes"]))
    mass = np.add(curves["density_real"], curves["density_generated"])
    assert np.average(gap, weights=mass) < 0.02
    loss = curves["log_loss_nats"]
    assert 0 < loss["estimated"] - loss["bayes"] < 0.002  # about P / 2 N = 11 / 80,000 and a bias
    assert loss["bayes"] < math.log(2)
    assert curves["mean_w"] == pytest.approx(1.0, abs=0.03)
    assert (np.array(curves["low"]) < curves["high"]).all()


def test_bands_hold_bayes_curve_as_often_as_they_say() -> None:
    """40 data sets of 1,000 + 1,000 rows, 200 bootstraps, pointwise 95 % bands.

    Their mean coverage is 0.936 (standard deviation of a data set 0.06, measured over 60): somewhat less than 0.95,
    for the percentiles of a smoothed curve do not know its bias.  So the mean of 40 has a standard error of 0.0095,
    and a false alarm is 3.8 standard errors below: less than 1 in 10,000.
    """
    covered = [toy.coverage(toy.fit_toy(7, data_set, 1_000, 200)) for data_set in range(40)]
    assert 0.90 < np.mean(covered) < 0.98


def test_bands_without_spread_hold_nothing(fitted: toy.Fitted) -> None:
    assert toy.coverage(fitted) < 0.1  # a single bootstrap


@pytest.mark.parametrize("shift", [0.25, -1.0])
def test_distance_of_a_shift_is_the_shift(shift: float) -> None:
    shifted = toy.density_distances(3 * toy.real_density(LINE - shift))  # any scale
    gap = np.abs(toy.real_cdf(LINE - shift) - toy.real_cdf(LINE)).max()
    assert shifted == pytest.approx({"wasserstein": abs(shift), "ks": gap}, abs=1e-4)
    quantiles = np.interp((np.arange(2_000) + 0.5) / 2_000, toy.real_cdf(LINE), LINE)
    assert toy.sample_distances(quantiles) == pytest.approx((0.0, 0.0), abs=5e-4)
    assert toy.sample_distances(quantiles + shift) == pytest.approx((abs(shift), gap), abs=1e-3)


def test_many_candidates_with_true_weights_give_the_data(fitted: toy.Fitted) -> None:
    """KS tests at level 1e-4, 2,000 outputs: not rejected at k = 1,000, whose bias of order 1/k is far below the
    0.05 that would be, and rejected at k = 1, which is the generator; that is not rejected as itself."""
    many = toy.outputs(1, fitted, 1_000, 2_000, 0)["true"]
    assert stats.kstest(many, toy.real_cdf).pvalue > 1e-4
    one = toy.outputs(1, fitted, 1, 2_000, 0)["true"]
    assert stats.kstest(one, toy.real_cdf).pvalue < 1e-8
    assert stats.kstest(one, stats.norm(fitted.mean, fitted.sd).cdf).pvalue > 1e-4


def test_two_candidates_follow_their_law(fitted: toy.Fitted) -> None:
    """For k = 2 the density is 2 q(x) E_q[w(x) / (w(x) + w(y))], by quadrature; KS test at level 1e-4."""
    line = np.linspace(-9, 9, 1_201)
    q, w = stats.norm.pdf(line, fitted.mean, fitted.sd), np.exp(fitted.true_log_w(line))
    density = 2 * q * integrate.trapezoid(q * w[:, None] / (w[:, None] + w), line, axis=1)
    cdf = stats.rv_histogram((density[:-1] + np.diff(density) / 2, line)).cdf
    x = np.concatenate([toy.outputs(2, fitted, 2, 2_000, repeat)["true"] for repeat in range(5)])
    assert stats.kstest(x, cdf).pvalue > 1e-4
    assert stats.kstest(x, toy.real_cdf).pvalue < 1e-8


def test_many_candidates_with_estimated_weights_give_their_own_law() -> None:
    """That is q w / E_q[w], here of a bad fit to 100 + 100 points; KS tests at level 1e-4."""
    fitted = toy.fit_toy(2, 0, 100, 0)
    line = np.linspace(-9, 9, 2_001)
    density = stats.norm.pdf(line, fitted.mean, fitted.sd) * np.exp(fitted.log_odds(line, fitted.theta))
    cdf = stats.rv_histogram((density[:-1] + np.diff(density) / 2, line)).cdf
    x = np.concatenate([toy.outputs(2, fitted, 1_000, 2_000, repeat)["estimated"] for repeat in range(3)])
    assert stats.kstest(x, cdf).pvalue > 1e-4
    assert stats.kstest(x, toy.real_cdf).pvalue < 1e-8


def entries(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in found["sir"] if entry["weights"] == kind]


def test_distances_fall_with_k_to_the_floor(found: dict[str, Any]) -> None:
    """With true weights W1 is 0.39, 0.20, 0.10 and at last that of as many draws of p, with standard errors of 0.02 at
    most over 6 repeats: a step that is not down would be 3.5 of the difference's standard errors off, about 1 in 4,000,
    as would an end 4.5 away (Student's t with about 10 degrees of freedom: 1 in 1,000)."""
    true, floor = entries(found, "true"), found["floor"]
    assert [entry["k"] for entry in true] == list(SMALL.ks)
    distances = [entry["wasserstein"] for entry in true]
    assert distances[0] > distances[1] > distances[2]
    assert max(entry["wasserstein_se"] for entry in [*true, floor]) < 0.03
    for name in ("wasserstein", "ks"):
        assert abs(true[-1][name] - floor[name]) < 4.5 * math.hypot(true[-1][f"{name}_se"], floor[f"{name}_se"])
    assert distances[0] == pytest.approx(found["generated"]["wasserstein"], abs=4.5 * true[0]["wasserstein_se"])


def test_estimated_weights_end_as_far_off_as_they_are_wrong(found: dict[str, Any]) -> None:
    """By the triangle inequality W1 of the outputs is the limit's to within W1 between outputs and limit, which is
    about the floor: 4.5 standard errors above it are allowed."""
    last, limit, floor = entries(found, "estimated")[-1], found["limits"]["estimated"], found["floor"]
    allowed = floor["wasserstein"] + 4.5 * last["wasserstein_se"]
    assert abs(last["wasserstein"] - limit["wasserstein"]) < allowed
    assert found["limits"]["true"]["wasserstein"] < 1e-4 < limit["wasserstein"]


def test_one_candidate_is_taken_whatever_its_weight(found: dict[str, Any]) -> None:
    true, estimated = (entries(found, kind)[0] for kind in ("true", "estimated"))
    assert {**true, "weights": ""} == {**estimated, "weights": ""}


def test_results_are_plain_and_a_function_of_the_seed(found: dict[str, Any]) -> None:
    again = toy.study(3, SMALL)
    assert json.loads(json.dumps(found, allow_nan=False)) == again == found
    assert toy.study(4, SMALL)["estimated"] != found["estimated"]
    assert {len(found[name]) for name in ("grid", "bayes", "estimated", "low", "high", "density_real")} == {101}
    for entry in found["sir"]:
        assert sum(entry["density"]) * 0.2 == pytest.approx(1.0, abs=0.03)  # a few outputs lie beyond the edges
