"""core/rivals_mh.py: chains leave the target as it is, and go to it from elsewhere at the exact rate."""

import numpy as np
from scipy import stats

from lfiw_ray.core import fresh, noise, rivals_mh

GENERATED = np.array([0.5, 0.3, 0.15, 0.05])
TARGET = np.array([0.1, 0.2, 0.3, 0.4])
LOG_W = np.log(TARGET / GENERATED)


def transition():
    """The chain's exact matrix: propose from the generator, accept min(1, w'/w), else stay."""
    w = TARGET / GENERATED
    matrix = GENERATED * np.minimum(1, w / w[:, None])
    np.fill_diagonal(matrix, 0)
    return matrix + np.diag(1 - matrix.sum(axis=1))


def last_states(first_law, m, seed, chains=1000):
    """State of each chain's output; the first candidate has another law than the rest."""
    rng = np.random.default_rng(seed)
    states = rng.choice(4, (chains, m), p=GENERATED)
    states[:, 0] = rng.choice(4, chains, p=first_law)
    rows = fresh.finish(fresh.init(LOG_W[states].ravel(), 0, m, rivals_mh.walked(seed))).sample_ids
    assert np.array_equal(rows // m, np.arange(chains))
    return states.ravel()[rows]


def test_the_target_is_stationary():
    """Chains started in the target, m = 2 and 6, 20 seeds of 1,000 chains each, chi-square p > 1e-5 each."""
    assert np.abs(TARGET @ transition() - TARGET).max() < 1e-15
    for m in (2, 6):
        found = np.concatenate([last_states(TARGET, m, seed) for seed in range(20)])
        assert stats.chisquare(np.bincount(found, minlength=4), 20_000 * TARGET).pvalue > 1e-5


def test_the_law_after_m_candidates_is_exact():
    """Started in the generator; chi-square p > 1e-5 for each m; the distance to the target falls as stated."""
    distance = []
    for m in (1, 2, 4, 8):
        law = GENERATED @ np.linalg.matrix_power(transition(), m - 1)
        found = np.concatenate([last_states(GENERATED, m, seed) for seed in range(20)])
        assert stats.chisquare(np.bincount(found, minlength=4), 20_000 * law).pvalue > 1e-5
        distance.append(np.abs(law - TARGET).sum() / 2)
    heaviest = (TARGET / GENERATED).max()
    for m, far in zip((1, 2, 4, 8), distance, strict=True):
        assert far <= distance[0] * (1 - 1 / heaviest) ** (m - 1) + 1e-12


def test_a_chain_by_hand(monkeypatch):
    """From w = 1: u = .9 refuses .5; u = .9 takes 2; u = .4 takes 1 (ratio .5); u = .5 refuses .5 (not below it)."""
    monkeypatch.setattr(noise, "uniforms", lambda *_: np.array([0.0, 0.9, 0.9, 0.4, 0.5]))
    log_w = np.log([1.0, 0.5, 2.0, 1.0, 0.5])
    assert fresh.finish(fresh.init(log_w, 0, 5, rivals_mh.walked(0))).sample_ids.tolist() == [3]


def test_heavier_and_equal_candidates_are_always_taken():
    for log_w in (np.arange(10.0), np.zeros(10), np.append(-np.inf, np.full(9, -743.0))):
        assert fresh.finish(fresh.init(log_w, 0, 10, rivals_mh.walked(0))).sample_ids.tolist() == [9]


def test_a_start_without_weight_is_left_at_once(monkeypatch):
    """And no row without weight is moved to, not even at u = 0."""
    monkeypatch.setattr(noise, "uniforms", lambda *_: np.zeros(4))
    log_w = np.array([-np.inf, -np.inf, -1e300, -np.inf])
    assert fresh.finish(fresh.init(log_w, 0, 4, rivals_mh.walked(0))).sample_ids.tolist() == [2]
