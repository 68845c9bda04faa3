"""What a sweep tries, and how one setting selects rows; configurations that make no sense are refused."""

import numpy as np
import pytest
from pydantic import ValidationError

from lfiw_ray.config import PipelineConfig
from lfiw_ray.config_sweep import SweepConfig, SweepScheme
from lfiw_ray.studies.sweep_settings import grid_size, select, settings_of

SMALL = SweepConfig(calibrators=["platt", "beta"], alphas=[0.5, 1.0], tails=["none"], schemes=["sir", "gumbel"], ks=[9])
START, POOL, K = 30_000, 5_000, 400
LOG_W = np.random.default_rng(0).normal(0, 1.0, POOL)


def test_a_grid_that_fits_is_tried_whole() -> None:
    found = settings_of(SMALL, seed=1)
    assert len(found) == len(set(found)) == grid_size(SMALL) == 2 * 2 * 2
    assert {(one.calibrator, one.alpha, one.scheme) for one in found} == {
        (c, a, s) for c in ("platt", "beta") for a in (0.5, 1.0) for s in ("sir", "gumbel")
    }
    assert {(one.input, one.tail, one.k) for one in found} == {("own", "none", 9)}


def test_a_large_grid_is_tried_in_part_without_repeats_by_the_seed() -> None:
    config = SweepConfig(num_trials=40)
    found = settings_of(config, seed=1)
    assert len(found) == len(set(found)) == 40 < grid_size(config)
    assert found == settings_of(config, seed=1)
    assert found != settings_of(config, seed=2)
    assert settings_of(SweepConfig(num_trials=7), seed=1) == found[:7]  # more trials only add some
    for field in ("calibrator", "alpha", "tail", "scheme", "k"):
        assert len({getattr(one, field) for one in found}) > 1


@pytest.mark.parametrize("scheme", ["sir", "systematic", "stratified", "residual", "gumbel", "gumbel_ht"])
def test_every_scheme_selects_k_rows_of_the_pool_towards_the_weights(scheme: SweepScheme) -> None:
    """The mean log weight, 0 in the pool, is 1 under the weights; 400 draws have a standard error of 0.05 to 0.07."""
    rows = select(scheme, LOG_W, START, K, seed=5)
    assert len(rows.sample_ids) == K
    assert START <= rows.sample_ids.min() <= rows.sample_ids.max() < START + POOL
    assert (rows.log_w is not None) == (scheme == "gumbel_ht")
    w = np.ones(K) if rows.log_w is None else np.exp(rows.log_w)
    mean = float(w @ LOG_W[rows.sample_ids - START] / w.sum())
    assert (0.55 if scheme == "gumbel" else 0.7) < mean < 1.3
    assert not scheme.startswith("gumbel") or len(np.unique(rows.sample_ids)) == K
    again = select(scheme, LOG_W, START, K, seed=5)
    assert np.array_equal(rows.sample_ids, again.sample_ids)
    other = select(scheme, LOG_W, START + POOL, K, seed=5)
    assert not np.array_equal(rows.sample_ids, other.sample_ids - POOL)


def test_trials_share_their_noise() -> None:
    """Nearly equal weights select nearly the same rows, other seeds do not."""
    near, far = select("gumbel", 1.001 * LOG_W, START, K, 5), select("gumbel", LOG_W, START, K, 6)
    chosen = select("gumbel", LOG_W, START, K, 5).sample_ids
    assert len(np.intersect1d(chosen, near.sample_ids)) > 0.98 * K
    assert len(np.intersect1d(chosen, far.sample_ids)) < 0.6 * K


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schemes": ["sir", "heaviest"]}, "Input should be 'sir', 'systematic'"),
        ({"metric": "fid"}, "metric fid falls with the number of rows, so that sets of 3 different sizes k"),
        ({"alphas": [0.5, -1.0]}, "greater than or equal to 0"),
        ({"alphas": [0.5, 1.0, 0.5]}, "alphas: 0.5 is there twice"),
        ({"ks": []}, "at least 1 item"),
        ({"ks": [1]}, "greater than or equal to 2"),
        ({"num_test_pools": 1}, "greater than or equal to 2"),
        ({"scheduler": "asha", "grace_pools": 9}, r"grace_pools \(9\) is more than num_validation_pools \(4\)"),
        ({"num_trails": 3}, "not permitted"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PipelineConfig.model_validate({"sweep": given})


def test_one_k_may_be_compared_by_fid() -> None:
    assert PipelineConfig.model_validate({"sweep": {"metric": "fid", "ks": [100]}}).sweep.metric == "fid"
