"""Paired differences: known numbers, coverage of the interval, the sentence."""

import json

import numpy as np
import pytest

from lfiw_ray.studies.semantic_summary import summarise


def test_known_numbers() -> None:
    out = summarise({"labels": np.array([0.5, 0.6, 0.7]), "raw": np.array([0.51, 0.62, 0.73])})
    (difference,) = out["differences"]
    assert out["arms"]["labels"]["accuracy"] == pytest.approx(0.6)
    assert out["arms"]["labels"]["accuracy_se"] == pytest.approx(0.1 / np.sqrt(3))
    assert difference["mean"] == pytest.approx(0.02)
    assert difference["se"] == pytest.approx(0.01 / np.sqrt(3))
    assert difference["standard_errors"] == pytest.approx(2 * np.sqrt(3))
    # t quantile 0.975 with 2 degrees of freedom: 4.3027 (printed tables)
    assert difference["interval"] == pytest.approx([0.02 - 0.024842, 0.02 + 0.024842], abs=1e-5)
    assert not difference["told_from_noise"]


def test_pairs_and_verdict() -> None:
    base = np.array([0.70, 0.72, 0.71, 0.69])
    wobble = np.array([0.001, -0.001, 0.002, 0.0])
    arms = {"labels": base, "raw": base + wobble, "resampled": base + 0.02 - wobble, "real": base + 0.03}
    out = summarise(arms)
    pairs = [(d["arm"], d["baseline"]) for d in out["differences"]]
    assert pairs == [
        ("raw", "labels"),
        ("resampled", "labels"),
        ("real", "labels"),
        ("resampled", "raw"),
        ("real", "raw"),
    ]
    assert out["verdict"].startswith("resampled samples raise accuracy by 1.9 ± 0.1 points over raw samples")
    worse = summarise({"labels": base, "raw": base, "resampled": base - 0.05 + wobble})
    assert "lower accuracy by 5.0" in worse["verdict"]
    assert "told from noise" in summarise({"labels": base, "raw": base + wobble})["verdict"]
    json.dumps(out, allow_nan=False)


def test_equal_arms_and_a_constant_gap_have_no_division_by_zero() -> None:
    half = np.array([0.5, 0.25])
    same = summarise({"labels": half, "raw": half})["differences"][0]
    gap = summarise({"labels": half, "raw": half + 0.25})["differences"][0]
    assert (same["told_from_noise"], same["standard_errors"]) == (False, None)
    assert (gap["told_from_noise"], gap["standard_errors"]) == (True, None)
    assert "the same in every repeat" in gap["sentence"]


def test_pairing_is_used() -> None:
    """Repeats that differ widely, arms that differ by one point in each: an unpaired test would see nothing."""
    base = np.array([0.2, 0.5, 0.9, 0.4])
    gap = np.array([0.010, 0.011, 0.009, 0.010])
    assert summarise({"labels": base, "raw": base + gap})["differences"][0]["told_from_noise"]


def test_false_alarms_are_five_in_a_hundred() -> None:
    rng = np.random.default_rng(0)
    draws = [{"labels": rng.normal(0.7, 0.01, 5), "raw": rng.normal(0.7, 0.01, 5)} for _ in range(2000)]
    alarms = sum(summarise(draw)["differences"][0]["told_from_noise"] for draw in draws)
    z = (alarms - 100) / np.sqrt(2000 * 0.05 * 0.95)
    assert abs(z) < 4.5  # this test's own false alarm: about 7 in a million


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'labels' and at least one other"):
        summarise({"raw": np.zeros(3), "real": np.zeros(3)})
    with pytest.raises(ValueError, match="equally many repeats"):
        summarise({"labels": np.zeros(3), "raw": np.zeros(2)})
    with pytest.raises(ValueError, match="equally many repeats"):
        summarise({"labels": np.zeros(1), "raw": np.zeros(1)})
