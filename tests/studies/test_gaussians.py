"""Weights of a trained and calibrated classifier against the true log ratio of two Gaussians, end to end."""

import json
from typing import Any

import numpy as np
import pytest

from lfiw_ray.studies import gaussians
from lfiw_ray.studies.gaussian_pair import gaussian_pair

SMALL = gaussians.Sizes(
    num_dims=(2, 10), num_rows=8_000, num_held_out_rows=3_000, num_test_rows=5_000, epochs=5, num_repeats=2
)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return gaussians.study(1, SMALL)


def limit_of_ess_fraction(num_dims: int) -> float:
    """1 / E[w^2] of generated rows: the integral of p^2 / q, by hand; a sample's true ESS has too heavy a tail."""
    pair = gaussian_pair(SMALL.kl_nats, num_dims, gaussians.VARIANCE_SHARE)
    p, q, distance = pair.real_variance, pair.generated_variance, 2 * pair.mean
    return float(np.prod(np.sqrt(p * (2 * q - p)) / q * np.exp(-(distance**2) / (2 * q - p))))


def test_weights_follow_the_true_ratio(found: dict[str, Any]) -> None:
    """Correlation above .95, slope within .25 of 1, at most .02 nats over Bayes' log loss, E[w] within .1 of 1,
    ESS / N within .15 of its limit."""
    for case in found["cases"]:
        assert case["correlation"] > 0.95
        assert case["slope"] == pytest.approx(1, abs=0.25)
        assert 0 < case["excess_log_loss_nats"] < 0.02
        assert case["mean_w"] == pytest.approx(1, abs=0.1)
        assert case["ess_fraction"] == pytest.approx(limit_of_ess_fraction(case["num_dims"]), abs=0.15)


def test_the_true_ratio_is_bayes(found: dict[str, Any]) -> None:
    """True weights have mean 1 within 5 standard errors of the repeats' rows, and no log loss is below theirs."""
    for case in found["cases"]:
        w_variance = 1 / limit_of_ess_fraction(case["num_dims"]) - 1
        assert abs(case["true_mean_w"] - 1) < 5 * np.sqrt(w_variance / (2 * SMALL.num_test_rows))
        assert case["bayes_log_loss_nats"] < min(np.log(2), case["log_loss_nats"])
        assert 0 < case["raw_excess_log_loss_nats"] != case["excess_log_loss_nats"]


def test_figures_by_hand() -> None:
    """True log weights log 2 and -log 2, one each of both classes; the estimate is twice as far from 0."""
    true = np.log([2.0, 0.5])
    case = gaussians.figures((true, true), (2 * true, 2 * true), (true, true))
    assert (case["correlation"], case["slope"]) == pytest.approx((1, 2))
    assert case["error_nats"] == pytest.approx(np.log(2))
    assert case["bayes_log_loss_nats"] == pytest.approx(-np.log(2 / 3 * 1 / 3) / 2)
    assert case["log_loss_nats"] == pytest.approx(-np.log(4 / 5 * 1 / 5) / 2)
    assert case["raw_excess_log_loss_nats"] == 0
    assert (case["true_mean_w"], case["mean_w"]) == pytest.approx((1.25, 2.125))
    assert case["true_ess_fraction"] == pytest.approx(2.5**2 / 4.25 / 2)


def test_a_study_is_plain_values_of_its_seed(found: dict[str, Any]) -> None:
    tiny = SMALL._replace(num_dims=(2,), num_rows=300, num_held_out_rows=200, num_test_rows=200, epochs=1)
    once = gaussians.study(3, tiny)
    assert json.loads(json.dumps(once, allow_nan=False)) == once == gaussians.study(3, tiny)
    assert gaussians.study(4, tiny) != once
    assert [example["num_dims"] for example in found["example"]] == [2, 10]
    assert all(len(example[side]) == 200 for example in found["example"] for side in ("true", "estimated"))
