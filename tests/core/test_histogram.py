"""core/histogram.py: shares of the total weight in bounded memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfiw_ray.core import histogram
from lfiw_ray.core.tally import Tally

LOG_W = 2 * np.random.default_rng(0).standard_normal(50_000)
VALUES = st.lists(st.one_of(st.floats(-1e4, 1e4), st.just(-np.inf)), max_size=30).map(np.array)


def _of(log_w):
    tally = Tally(np.max(log_w, initial=-np.inf), 8)
    for low in range(0, len(log_w), 8):
        tally.add(log_w[low : low + 8])
    return tally.histogram()


def _true_share(log_w, rows):
    w = np.exp(np.sort(log_w)[::-1] - log_w.max())
    return w[:rows].sum() / w.sum()


@pytest.mark.parametrize("rows", [1, 10, 500, 5000, 49_000])
def test_a_share_is_off_by_at_most_what_is_stated(rows):
    got = histogram.top_share(_of(LOG_W), rows)
    counts, share = histogram.shares(_of(LOG_W))
    cut = np.searchsorted(counts, rows)
    bound = (np.exp(histogram.BIN_NATS) - 1) * (share[cut] - share[cut - 1])
    assert abs(got - _true_share(LOG_W, rows)) <= bound + 1e-12


def test_shares_are_exact_at_the_edges():
    counts, share = histogram.shares(_of(LOG_W))
    assert counts[-1] == len(LOG_W)
    for edge in (3, 50, 200, 400):
        if counts[edge]:
            assert share[edge] == pytest.approx(_true_share(LOG_W, counts[edge]), rel=1e-12)


def test_equal_weights_share_equally():
    assert histogram.top_share(_of(np.full(1000, 3.3)), 10) == pytest.approx(0.01)


@settings(max_examples=200)
@given(a=VALUES, b=VALUES, c=VALUES)
def test_merging_is_the_whole_in_any_order(a, b, c):
    parts = [_of(x) for x in (a, b, c)]
    whole = _of(np.concatenate([a, b, c]))
    for i, j, k in [(0, 1, 2), (2, 0, 1), (1, 2, 0)]:
        for got in (
            histogram.merge(histogram.merge(parts[i], parts[j]), parts[k]),
            histogram.merge(parts[i], histogram.merge(parts[j], parts[k])),
        ):
            assert got.top == whole.top
            np.testing.assert_array_equal(got.counts, whole.counts)
            np.testing.assert_allclose(got.mass, whole.mass, rtol=1e-12)


def test_what_lies_64_nats_below_is_dropped():
    part = _of(np.array([0.0, -63.9, -65.0, -np.inf]))
    assert part.counts.sum() == 2
    assert histogram.top_share(part, 1) == pytest.approx(1)


def test_an_empty_histogram_has_no_shares():
    with pytest.raises(ValueError, match="empty"):
        histogram.shares(_of(np.empty(0)))
