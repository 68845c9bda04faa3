"""The table's verdicts in words and numbers, and what stands beside them as published."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from table1_example import DISTINCT, SHIFT, about, arm, table

from lfiw_ray.studies.table1_published import PUBLISHED, published
from lfiw_ray.studies.table1_verdict import differences, mean_k_hat, outcome, sentence, threshold, why


def test_the_threshold_is_students_shared_by_all_arms() -> None:
    assert threshold(1, 10) == pytest.approx(stats.t.ppf(0.975, 9))
    assert threshold(13, 10) == pytest.approx(stats.t.ppf(1 - 0.025 / 13, 9))
    assert threshold(13, 3) > threshold(13, 10) > threshold(2, 10)


def test_arms_that_do_not_differ_are_called_different_in_at_most_one_table_of_twenty() -> None:
    """1,000 tables of 13 arms and 10 pools of noise: 50 expected at most, 75 is 3.6 standard errors more."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(1000):
        values = rng.normal(50, 1, (14, 10))
        arms = {name: {"fid": {"values": row.tolist()}} for name, row in zip(["raw", *SHIFT], values, strict=True)}
        wrong += any(entry["outcome"] != "unclear" for entry in differences(arms, "fid").values())
    assert wrong < 75


def test_differences_are_paired_by_pool() -> None:
    found = table()["differences"]["fid"]
    assert list(found) == list(SHIFT)
    raw, sir = (np.array(arm(name)["fid"]["values"]) for name in ("raw", "sir"))
    assert found["sir"]["mean"] == pytest.approx((sir - raw).mean()) == pytest.approx(-15, abs=0.01)
    assert found["sir"]["se"] == pytest.approx((sir - raw).std(ddof=1) / np.sqrt(10))
    assert found["sir"]["z"] == pytest.approx(found["sir"]["mean"] / found["sir"]["se"])
    outcomes = {name: entry["outcome"] for name, entry in found.items()}
    assert {name for name in outcomes if outcomes[name] == "hurts"} == {"lfiw", "clipped", "psis", "top_k", "reversed"}
    assert {name for name in outcomes if outcomes[name] == "unclear"} == {"uniform"}


@pytest.mark.parametrize(
    ("mean", "z", "said"),
    [(-1, -5, "helps"), (1, 5, "hurts"), (-1, -3.9, "unclear"), (0, None, "unclear"), (-1, None, "helps")],
)
def test_an_outcome_needs_a_clear_difference(mean: float, z: float | None, said: str) -> None:
    assert outcome(mean, z, 4.0) == said


def test_the_sentence_says_who_helps_by_how_much_and_why_others_do_not() -> None:
    text = table()["verdicts"]["fid"]
    assert text.startswith("FID in “inception-v3-compat”, 1,000 rows against published test rows: 7 of 13 arms are cle")
    nearer, rest = text.split(" Farther: ")
    farther, unclear = rest.split(" No clear difference: ")
    assert "SIR, with replacement -15 (" in nearer
    assert "effective rows" not in nearer
    assert "LFIW, self-normalised +30 (" in farther
    assert "as it is worth 12 effective rows of 1,000; the tail of its weights is too heavy" in farther
    assert "k_hat 1.25" in farther
    assert "lightest +90" in farther
    assert "as it keeps the lightest rows only" in farther
    assert unclear.startswith("uniform +0 (0.0 standard errors), as it draws from the generator")
    assert "KID in" in table()["verdicts"]["kid"]


def test_a_table_in_which_nothing_helps_says_so() -> None:
    made = table()
    made["arms"] = {name: arm("raw" if name == "raw" else "uniform") for name in made["arms"]}
    made["differences"] = {"fid": differences(made["arms"], "fid")}
    text = sentence(made, about(), "fid")
    assert "0 of 13 arms are clearly nearer" in text
    assert "Nearer" not in text
    assert "Farther" not in text


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("weighted", {"alpha": 0.0}, "alpha is 0"),
        ("sir", {"distinct": 80.0}, "only 80 of its 1,000 rows are distinct"),
        ("weighted", {}, "ESS 300 of 1,000, 1,000 distinct rows, k_hat 0.40: neither spread nor repeats explain it"),
        ("gumbel", {"pool_rows": 2_000}, "without repeats 1,000 of 2,000 rows must hold light ones"),
        ("gumbel", {}, "what is left is how right the weights are"),
        ("top_k", {}, "heaviest rows only"),
    ],
)
def test_a_reason_is_of_the_arms_own_figures(name: str, changes: dict[str, Any], said: str) -> None:
    figures = arm(name)
    figures["distinct"] = {"mean": changes.get("distinct", figures["distinct"]["mean"])}
    told = about()[name] | {key: changes[key] for key in ("alpha",) if key in changes}
    assert said in why(name, told, figures, 1_000, changes.get("pool_rows", 4_000))
    assert DISTINCT["sir"] > 500  # the example's own SIR has no such reason


def test_k_hat_is_the_mean_of_the_pools_that_have_one() -> None:
    assert mean_k_hat([0.5, None, 0.7]) == pytest.approx(0.6)
    assert mean_k_hat([None, None]) is None


def test_published_figures_stand_only_beside_their_own_generator_and_protocol() -> None:
    assert [row["label"] for row in published("cifar10", "sngan", "paper")] == ["real rows", "SNGAN", "SNGAN with LFIW"]
    assert [row["source"] for row in published("cifar10", "sngan", "today")] == [
        "Lee and Town 2020, Mimicry's benchmark"
    ]
    assert [row["label"] for row in published("cifar10", "vae", "paper")] == ["real rows"]
    assert published("fashion-mnist", "sngan", "paper") == []


def test_published_figures_from_memory_are_marked() -> None:
    for row in PUBLISHED:
        assert row.from_memory == row.source.startswith("Grover")
        assert row.kid_is_ours != row.source.startswith("Grover")
