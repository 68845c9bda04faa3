"""core/gate.py: verdicts in words, and the exponent that passes."""

import numpy as np
import pytest

from lfiw_ray.core.diagnostics import diagnose
from lfiw_ray.core.gate import choose_alpha, gate, k_hat_limit
from lfiw_ray.core.weights import flatten
from lfiw_ray.errors import NonFiniteError

RNG = np.random.default_rng(0)
MILD, WILD = 0.5 * RNG.standard_normal(4096), 6 * RNG.standard_normal(4096)


def test_good_weights_pass_without_a_word():
    assert gate(diagnose(MILD), min_ess=1000) == (True, (), ())


def test_bad_weights_fail_twice_and_say_what_helps():
    verdict = gate(diagnose(WILD), min_ess=1000)
    assert not verdict.passed
    ess, tail = verdict.reasons
    assert f"{diagnose(WILD).ess:,.1f} equally weighted rows of 4,096" in ess
    assert "k_hat" in tail
    assert len(verdict.advice) == len(set(verdict.advice)) == 5


@pytest.mark.parametrize(("min_ess", "max_k_hat", "passed"), [(5000, 9, False), (10, -9, False), (10, 9, True)])
def test_each_alarm_alone(min_ess, max_k_hat, passed):
    assert gate(diagnose(MILD), min_ess, max_k_hat).passed == passed


@pytest.mark.parametrize(
    ("num_rows", "limit"), [(100, 0.5), (1_000, 2 / 3), (2_154, 0.69999), (2_155, 0.7), (10**10, 0.7)]
)
def test_few_rows_lower_the_limit_of_the_tail(num_rows, limit):
    assert k_hat_limit(num_rows) == pytest.approx(limit, abs=1e-5)
    assert k_hat_limit(num_rows, 0.3) == 0.3


def test_one_or_two_rows_have_no_tail_that_passes():
    assert k_hat_limit(1) == k_hat_limit(2) < 0


def test_a_tail_that_many_rows_bear_fails_on_few():
    few, many = (diagnose(np.zeros(n))._replace(k_hat=0.6) for n in (100, 10_000))
    assert gate(many, 1).passed
    assert "k_hat is 0.60, above 0.50" in gate(few, 1).reasons[0]


def test_equal_weights_pass_and_a_tail_that_cannot_be_told_fails():
    assert gate(diagnose(np.zeros(100)), 100).passed
    verdict = gate(diagnose(np.append(np.zeros(99), 700.0)), 1)
    assert not verdict.passed
    assert "cannot be told" in verdict.reasons[0]


def test_the_largest_exponent_that_passes_is_chosen():
    choice = choose_alpha(WILD, min_ess_fraction=0.15)
    alphas = [trial.alpha for trial in choice.table]
    assert alphas == [round(1 - i / 20, 2) for i in range(21)]
    assert 0 < choice.alpha < 1
    for trial in choice.table:
        figures = diagnose(flatten(WILD, trial.alpha))
        good = trial.alpha == 0 or (figures.ess_fraction >= 0.15 and figures.k_hat <= 0.7)
        assert (trial.ess_fraction, trial.k_hat, trial.passed) == (figures.ess_fraction, figures.k_hat, good)
        assert not trial.passed or trial.alpha <= choice.alpha
    # log-normal: ESS / N = exp(-(alpha sigma)^2) for a large N, so 0.15 is met near alpha = sqrt(-log 0.15) / 6
    assert choice.alpha == pytest.approx(np.sqrt(-np.log(0.15)) / 6, abs=0.1)


def test_good_weights_keep_alpha_1():
    assert choose_alpha(MILD, 0.15).alpha == 1


def test_alpha_0_always_passes():
    choice = choose_alpha(np.append(np.full(99, -np.inf), 0.0), 0.15, grid=(1.0,))
    assert choice.alpha == 0
    assert choice.table[-1] == (0.0, 0.01, choice.table[-1].k_hat, True)


def test_nan_is_refused():
    with pytest.raises(NonFiniteError):
        choose_alpha(np.array([0, np.nan]), 0.1)
