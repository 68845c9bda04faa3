"""The arms of the evaluation and the numbers taken from them."""

import math
from typing import Any

import numpy as np
import pytest

from lfiw_ray.core import frechet, kernel_distance, manifold, moments
from lfiw_ray.core.forms import Form
from lfiw_ray.core.kernels import Rbf, as_wide_as
from lfiw_ray.core.rivals import RIVALS
from lfiw_ray.engine.arms import ARMS, arms_of, choose_rows
from lfiw_ray.engine.measure import Options, improvement, measure, naming, over_repeats, reference_of, with_rbf
from lfiw_ray.errors import CollapsedError, NonFiniteError
from lfiw_ray.models.extractors import Extracted

START, N, POOL = 30_000, 500, 20_000


@pytest.fixture(scope="module")
def log_w() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1.5, POOL).astype(np.float32)


def test_all_arms_have_n_rows_of_their_pool(log_w: np.ndarray) -> None:
    naive_log_w = log_w[::-1] * 2
    arms = choose_rows(log_w, naive_log_w, START, N, Form(0.5).apply, seed=1, with_rivals=True)
    assert list(arms) == list(ARMS)
    for name, rows in arms.items():
        assert len(rows.sample_ids) == N
        assert START <= rows.sample_ids.min() <= rows.sample_ids.max() < START + POOL
        assert (rows.log_w is not None) == ARMS[name].weighted
        assert rows.log_w is None or rows.log_w.shape == (N,)
    for name in ("raw", "gumbel", "gumbel_ht", "gumbel_naive", *(name for name in ARMS if ARMS[name].rival)):
        assert len(np.unique(arms[name].sample_ids)) == N, name
    assert np.array_equal(arms["raw"].sample_ids, np.arange(START, START + N))
    assert arms["weighted"].log_w == pytest.approx(0.5 * log_w[:N].astype(np.float64))
    assert arms["weighted_naive"].log_w == pytest.approx(naive_log_w[:N])


def test_alpha_one_is_the_naive_arm_and_alpha_zero_ignores_the_weights(log_w: np.ndarray) -> None:
    one = choose_rows(log_w, log_w, START, N, Form(1.0).apply, seed=1, with_rivals=True)
    for name in ("weighted", "sir", "gumbel"):
        assert np.array_equal(one[name].sample_ids, one[f"{name}_naive"].sample_ids)
    none = choose_rows(log_w, log_w, START, N, Form(0.0).apply, seed=1, with_rivals=True)
    chosen = [log_w[rows.sample_ids - START].mean() for rows in (none["sir"], one["sir"])]
    # the mean log weight of N draws: 0 without weights, alpha sigma^2 = 2.25 with them; sigma 1.5, so z in sd of 0.067
    assert chosen == pytest.approx([0.0, 2.25], abs=4.5 * 1.5 / math.sqrt(N) + 0.05)


def test_pools_draw_independently(log_w: np.ndarray) -> None:
    pools = [choose_rows(log_w, log_w, start, N, Form(1.0).apply, seed=1, with_rivals=True) for start in (0, POOL)]
    for name in ("sir", "pool", "mh", "drs", "obrs", "uniform"):
        assert not np.array_equal(pools[0][name].sample_ids, pools[1][name].sample_ids - POOL), name


def test_rivals_come_only_where_asked_for(log_w: np.ndarray) -> None:
    few, all_ = (choose_rows(log_w, log_w, START, N, Form(0.5).apply, seed=1, with_rivals=on) for on in (False, True))
    assert [name for name in all_ if name not in few] == list(RIVALS) == [n for n in ARMS if ARMS[n].rival]
    assert list(few) == list(arms_of(False))
    for name, rows in few.items():
        assert np.array_equal(rows.sample_ids, all_[name].sample_ids)


def test_rivals_order_as_their_methods_say(log_w: np.ndarray) -> None:
    """Mean log w over 6 pools: the ranks at the ends, uniform in the middle, the others between pool and target.

    The mean is 0 in the pool and 2.25 under the target; over 3,000 draws it has a standard error of at most 0.03,
    4.5 of which are 0.13 (false alarm 7e-6 each).
    """
    means: dict[str, float] = {}
    for start in range(0, 6 * POOL, POOL):
        for name, rows in choose_rows(log_w, log_w, start, N, Form(1.0).apply, seed=2, with_rivals=True).items():
            means[name] = means.get(name, 0.0) + float(log_w[rows.sample_ids - start].mean()) / 6
    ordered = [means[name] for name in ("reversed", "uniform", "drs", "sir", "top_k")]
    assert ordered == sorted(ordered)
    assert means["uniform"] == pytest.approx(0.0, abs=0.13)
    for name in ("drs", "obrs", "pool", "mh"):
        assert 1.5 < means[name] < 2.25 + 0.13, name
    naive = choose_rows(log_w, log_w, START, N, Form(0.0).apply, seed=2, with_rivals=True)
    for name in ("drs", "obrs", "pool", "mh"):
        assert abs(log_w[naive[name].sample_ids - START].mean()) < 4.5 * 1.5 / math.sqrt(N), name


def arm(values: list[float]) -> dict[str, Any]:
    return {"fid": {"values": values, "mean": float(np.mean(values)), "se": float(np.std(values))}}


def test_improvement_is_paired_by_pool() -> None:
    """Differences 3, 4, 2: mean 3, standard deviation 1, standard error 1 / sqrt 3."""
    found = improvement({"raw": arm([10.0, 12.0, 14.0]), "sir": arm([7.0, 8.0, 12.0])})
    assert found["difference"]["mean"] == pytest.approx(3.0)
    assert found["difference"]["se"] == pytest.approx(1 / math.sqrt(3))
    assert found["difference"]["z"] == pytest.approx(3 * math.sqrt(3))
    same = improvement({"raw": arm([10.0, 12.0]), "sir": arm([9.0, 11.0])})
    assert same["difference"]["z"] is None


def features(rows: int, seed: int) -> Extracted:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], rows).astype(np.float32)
    return Extracted(rng.normal(0, 1, (rows, 4)).astype(np.float32), probabilities)


def measured(found: Extracted, log_w: np.ndarray | None = None) -> dict[str, Any]:
    return measure(reference_of({}, features(400, 0), found, 5), found, log_w)


def test_what_comparisons_share_is_what_each_would_compute() -> None:
    real, found, log_w = features(400, 0), features(300, 1), np.linspace(-1, 1, 300)
    got = measure(reference_of({}, real, found, 5), found, log_w)
    assert got["kid"] == kernel_distance.distance(real.features, found.features, log_w)
    assert got["fid"] == frechet.distance(moments.of(real.features), moments.of(found.features, log_w))
    assert got["precision"] == manifold.compare(manifold.support(real.features, 5), found.features, log_w).precision


def test_the_real_rows_themselves_are_at_distance_zero() -> None:
    found = measured(features(400, 0))
    assert found["fid"] == pytest.approx(0.0, abs=1e-6)
    assert found["class_tv"] == pytest.approx(0.0, abs=1e-6)
    assert found["ess"] == 400
    assert measured(features(400, 1))["fid"] > 1e-3


def test_equal_weights_are_no_weights() -> None:
    plain, equal = measured(features(300, 1)), measured(features(300, 1), np.full(300, -7.0))
    for name, value in plain.items():
        assert equal[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_rows_without_weight_are_as_if_absent() -> None:
    rows = features(300, 1)
    log_w = np.where(np.arange(300) < 120, 3.0, -np.inf)
    kept = measured(Extracted(rows.features[:120], rows.probabilities[:120]))
    masked = measured(rows, log_w)
    for name in ("fid", "kid", "inception_score", "class_tv", "ess", "precision", "density"):
        assert masked[name] == pytest.approx(kept[name], rel=1e-6, abs=1e-9), name
    assert masked["ess"] == pytest.approx(120)


def test_the_last_row_with_weight_of_a_tenth_of_the_rows() -> None:
    """Scores of parts and a test of halves take the rows that have a weight, wherever they stand."""
    rows = features(300, 1)
    found = measured(rows, np.where(np.arange(300) >= 270, 0.0, -np.inf))
    assert found["inception_score_splits"] >= 1
    assert 0 <= found["c2st_accuracy"] <= 1


def test_moments_that_others_published() -> None:
    real = reference_of({}, features(400, 0), features(400, 1), 5)
    ours = real._replace(made_elsewhere=moments.finish(real.moments))
    found = measure(ours, features(300, 2), None)
    assert found["fid_npz"] == pytest.approx(found["fid"], rel=1e-9)
    other = real._replace(made_elsewhere=(np.full(4, 9.0), np.eye(4)))
    assert measure(other, features(300, 2), None)["fid_npz"] > 300
    assert "fid_npz" not in measure(real, features(300, 2), None)


def test_a_second_kid_with_a_gaussian_kernel() -> None:
    """Of the width that is given, or of the median distance of real rows; the others' numbers stay."""
    real, found = reference_of({}, features(400, 0), features(400, 1), 5), features(300, 2)
    log_w = np.random.default_rng(0).normal(size=300)
    plain = measure(real, found, log_w)
    assert "kid_rbf" not in plain
    for width, sigma in ((3.0, 3.0), ("median", as_wide_as(real.features).sigma)):
        with_it = with_rbf(real, width)
        direct = kernel_distance.distance(real.features, found.features, log_w, kernel=Rbf(sigma))
        assert measure(with_it, found, log_w) == {**plain, "kid_rbf": pytest.approx(direct, rel=1e-9)}
        assert direct != pytest.approx(plain["kid"], rel=1e-3)


def test_costly_metrics_are_asked_for_and_draw_by_seed_and_repeat() -> None:
    real, found = reference_of({}, features(400, 0), features(400, 1), 5), features(300, 2)
    asked = [Options(seed, repeat, 3, 50, infinity=True) for seed, repeat in ((0, 0), (0, 0), (1, 0), (0, 1))]
    first, again, seed, repeat = (measure(real, found, None, options) for options in asked)
    assert first == again
    for name in ("kid_subsets", "fid_infinity", "is_infinity"):
        assert len({first[name], seed[name], repeat[name]}) == 3, name
        assert name not in measure(real, found, None)


def test_features_that_are_no_numbers_are_named() -> None:
    real, found = reference_of({}, features(400, 0), features(400, 1), 5), features(300, 2)
    found.features[17, 2] = np.nan
    with pytest.raises(NonFiniteError, match="17"):
        measure(real, found, None)


def test_three_repeats_have_an_interval() -> None:
    found = over_repeats([{"fid": value, "shares": [0.5, value]} for value in (1.0, 2.0, 6.0)])
    assert (found["fid"]["mean"], found["fid"]["se"]) == (3.0, pytest.approx(math.sqrt(7 / 3)))
    assert 1.0 <= found["fid"]["low"] < 2.0 < 4.0 < found["fid"]["high"] <= 6.0
    assert found["shares"]["mean"] == [0.5, 3.0]
    assert "low" not in found["shares"]
    assert "low" not in over_repeats([{"fid": 1.0}, {"fid": 2.0}])["fid"]


def test_a_set_whose_weight_lies_on_one_row_is_refused_by_its_arm_and_pool() -> None:
    real, found = reference_of({}, features(400, 0), features(400, 1), 5), features(300, 2)
    heavy = np.zeros(300)
    heavy[7] = 60.0
    told = "arm weighted, pool 3: a single row holds all of the weight.*: lower alpha$"
    for alone in (heavy, np.where(heavy > 0, 0.0, -np.inf)):
        with pytest.raises(CollapsedError, match=told) as err, naming("weighted", 3, "lower alpha"):
            measure(real, found, alone)
        assert err.value.exit_code == 2
    heavy[7] = 30.0  # nearly all of it: as little as that can be measured
    assert measure(real, found, heavy)["ess"] == pytest.approx(1.0, abs=1e-9)
