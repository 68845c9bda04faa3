"""core/topk.py: a bar saves work and changes nothing; forms of the weights."""

from functools import partial

import numpy as np
import pytest
from topk_toys import equal, plain

from lfiw_ray.core import inclusion, topk
from lfiw_ray.core.weights import flatten

TEN = np.log([8.0, 4, 2, 1, 1, 1, 1, 1, 1, 1])


@pytest.mark.parametrize("order", ["shuffled", "sorted", "sparse"])
def test_a_guessed_bar_changes_nothing(order):
    """Enough rows that only a sample of them makes the guess, also where the sample misleads."""
    log_w = 1.5 * np.random.default_rng(3).standard_normal(300_000)
    if order == "sorted":
        log_w.sort()
    if order == "sparse":  # the pieces that are looked at hold next to nothing
        log_w[np.arange(len(log_w)) % 4096 != 7] = -np.inf
    keys, ids = plain(log_w, 0, 60, 2)
    got = topk.init(log_w, 0, 60, 2)
    assert np.array_equal(got.sample_ids, ids)
    assert np.array_equal(got.keys, keys)


@pytest.mark.parametrize("k", [1, 30, 3000])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
def test_the_guess_is_reached_and_close(k, sigma):
    """200 seeds each: the bar is six standard errors low, so a single miss is a fault; and few rows more pass."""
    log_w = sigma * np.random.default_rng(1).standard_normal(100_000)
    bar = inclusion.guess_bar(log_w[::10], len(log_w), k)
    found = [topk.extend(topk.empty(100_000, bar), log_w, 0, seed) for seed in range(5 if k == 3000 else 200)]
    sizes = np.array([len(state.keys) for state in found])
    assert sizes.min() > k
    assert sizes.mean() < 2 * k + 1000


def test_a_bar_that_was_too_high_is_noticed():
    high = topk.extend(topk.empty(5, 3.0), TEN, 0, 0)
    assert len(high.keys) < 6
    assert not topk.complete(high)
    with pytest.raises(ValueError, match="look without a bar"):
        topk.finish(high)
    assert topk.complete(topk.init(TEN, 0, 5, 0))


def test_states_with_different_bars_merge_to_what_both_have_seen():
    log_w = np.random.default_rng(2).standard_normal(4000)
    low, high = topk.extend(topk.empty(50), log_w[:2000], 0, 1), topk.extend(topk.empty(50, 2.0), log_w[2000:], 2000, 1)
    assert equal(topk.merge(low, high), topk.merge(high, low))
    merged = topk.merge(low, high)
    assert merged.bar == 2.0
    assert np.array_equal(merged.keys, topk.init(log_w, 0, 50, 1).keys)


def test_a_merged_state_keeps_nothing_below_the_higher_bar():
    """One side did not keep such rows, so that those of the other must not pass for the best of both."""
    log_w = np.random.default_rng(2).standard_normal(4000)
    low, high = (
        topk.extend(topk.empty(3000), log_w[:2000], 0, 1),
        topk.extend(topk.empty(3000, 2.0), log_w[2000:], 2000, 1),
    )
    for merged in (topk.merge(low, high), topk.merge(high, low)):
        assert merged.keys.min() >= 2.0
        assert not topk.complete(merged)


def test_the_guess_is_reached_whatever_the_sample():
    """200 samples of a heavy-tailed pool: the bar is six of the sample's standard errors low."""
    rng = np.random.default_rng(3)
    log_w = 3.0 * rng.standard_normal(100_000)
    keys = np.sort(topk.init(log_w, 0, 400, 1).keys)[::-1]
    bars = [inclusion.guess_bar(rng.choice(log_w, 2000, replace=False), len(log_w), 100) for _ in range(200)]
    assert max(bars) < keys[100]
    assert np.median(bars) > -np.inf


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_a_form_of_the_weights_is_as_good_as_weights_of_that_form(alpha):
    log_w = np.random.default_rng(2).standard_normal(200_000).astype(np.float32)
    log_w[::7] = -np.inf
    form = partial(flatten, alpha=alpha)
    assert equal(
        topk.extend(topk.empty(40), log_w, 0, 1, form=form),
        topk.init(flatten(log_w, alpha), 0, 40, 1)._replace(bar=-np.inf),
    )
