"""The pair of Gaussians against scipy and sampling, and the figures of agreement against numpy's."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from lfiw_ray.studies.gaussian_pair import agreement, gaussian_pair, labelled, over_repeats


def test_the_log_ratio_is_that_of_the_densities() -> None:
    pair = gaussian_pair(3.0, 4, 0.5)
    x = np.concatenate(pair.draw(np.random.default_rng(0), 50))
    real = multivariate_normal(pair.mean, np.diag(pair.real_variance)).logpdf(x)
    generated = multivariate_normal(-pair.mean, np.diag(pair.generated_variance)).logpdf(x)
    assert pair.log_ratio(x) == pytest.approx(real - generated, abs=1e-5)


@pytest.mark.parametrize(("kl_nats", "num_dims", "share"), [(0.5, 2, 0.25), (20, 10, 0.0), (100, 10, 0.25), (5, 50, 1)])
def test_both_divergences_are_as_asked(kl_nats: float, num_dims: int, share: float) -> None:
    """Means over 40,000 rows, within 5 standard errors (false alarm 6e-7 each)."""
    pair = gaussian_pair(kl_nats, num_dims, share)
    real, generated = (pair.log_ratio(x) for x in pair.draw(np.random.default_rng(1), 40_000))
    for ratio in (real, -generated):
        assert abs(ratio.mean() - kl_nats) < 5 * ratio.std() / 200
    of_variances = (pair.real_variance / pair.generated_variance - 1) / 2
    of_variances -= np.log(pair.real_variance / pair.generated_variance) / 2
    assert of_variances.sum() == pytest.approx(share * kl_nats)


@pytest.mark.parametrize("arguments", [(1.0, 3, 0.5), (1.0, 0, 0.5), (-1.0, 2, 0.5), (1.0, 2, 1.5)])
def test_impossible_pairs_are_refused(arguments: tuple[float, int, float]) -> None:
    with pytest.raises(ValueError, match="needs an even num_dims"):
        gaussian_pair(*arguments)


def test_labels_follow_the_rows() -> None:
    x, y = labelled((np.ones((2, 3), np.float32), np.zeros((3, 3), np.float32)))
    assert x[:, 0].tolist() == y.tolist() == [1, 1, 0, 0, 0]
    assert y.dtype == np.float32


def test_agreement_is_correlation_and_slope() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=100)
    estimated = 0.5 * true + rng.normal(size=100)
    found = agreement(estimated, true)
    assert found["correlation"] == pytest.approx(np.corrcoef(true, estimated)[0, 1])
    assert found["slope"] == pytest.approx(np.polyfit(true, estimated, 1)[0])


def test_repeats_have_a_standard_error() -> None:
    assert over_repeats([{"a": 1.0}, {"a": 3.0}]) == {"a": 2.0, "a_se": pytest.approx(math.sqrt(2) / math.sqrt(2))}
