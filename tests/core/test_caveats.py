"""core/caveats.py: what is wrong is said, and only that."""

import numpy as np
import pytest
from scipy.special import expit

from lfiw_ray.core.calibration import KINDS, fit
from lfiw_ray.core.caveats import caveats


def _rows(slope, n=2000):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(n)
    return logits, (rng.random(n) < expit(slope * logits)).astype(int)


def _said(kind, logits, y):
    calibration = fit(logits, y, kind)
    return caveats(calibration, calibration.apply(logits))


@pytest.mark.parametrize("kind", ["temperature", "platt", "beta"])
def test_a_good_calibrator_has_none(kind):
    assert _said(kind, *_rows(1.0)) == []


@pytest.mark.parametrize("kind", ["temperature", "platt"])
def test_ranking_backwards_is_loud(kind):
    (said,) = _said(kind, *_rows(-1.0))
    assert said.startswith(f"THE CLASSIFIER RANKS BACKWARDS: the {kind} slope is -")


def test_constant_odds_are_loud():
    (said,) = _said("beta", *_rows(-2.0))
    assert said.startswith("THE CLASSIFIER TELLS NOTHING: beta")


def test_ties_of_isotonic_are_counted():
    logits, y = np.arange(7.0), np.array([0, 0, 1, 0, 1, 1, 1])
    calibration = fit(logits, y, "isotonic")
    (said,) = caveats(calibration, calibration.apply([-5.0, 0.5, 1.5, 2.5]))  # two on the lowest step
    assert "4 held-out rows have 3 different log odds, from -1.10 to 1.39 nats; the 50.0% that" in said
    assert caveats(calibration, calibration.apply([1.25, 1.5, 1.75])) == []


@pytest.mark.parametrize("kind", KINDS)
def test_separated_rows_are_said(kind):
    said = _said(kind, np.linspace(-1, 1, 40), np.repeat([0, 1], 20))
    assert "a threshold separates" in said[-1]
