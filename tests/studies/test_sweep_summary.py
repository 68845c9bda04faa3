"""What a sweep says it found, from numbers by hand."""

import csv
import io

import pytest

from lfiw_ray.errors import WorkerError
from lfiw_ray.studies.sweep_settings import Setting
from lfiw_ray.studies.sweep_summary import as_csv, compared, rows_of, verdict, winner_of
from lfiw_ray.studies.sweep_trial import Outcome, report_of

SETTINGS = [Setting("own", "platt", alpha, "none", "sir", 50) for alpha in (0.2, 0.5, 0.8)]


def outcomes(*values: float) -> list[Outcome]:
    return [Outcome(value, 40.0, 30) for value in values]


def reports(*values: tuple[float, ...]) -> list[dict[str, object]]:
    return [{"trial": number, **report_of(outcomes(*one))} for number, one in enumerate(values)]


def test_rows_follow_their_numbers_whatever_the_order_of_the_reports() -> None:
    rows = rows_of(SETTINGS, reports((3.0, 5.0), (1.0,), (2.0, 2.5))[::-1], num_pools=2)
    assert [row["trial"] for row in rows] == [0, 1, 2]
    assert [row["alpha"] for row in rows] == [0.2, 0.5, 0.8]
    assert [row["mean"] for row in rows] == [4.0, 1.0, 2.25]
    assert [row["se"] for row in rows] == [1.0, None, 0.25]
    assert [row["stopped"] for row in rows] == [False, True, False]


def test_the_winner_saw_every_pool_and_noise_does_not_help() -> None:
    """The stopped trial has the least mean; of the others the one with the larger mean is the steadier."""
    rows = rows_of(SETTINGS, reports((1.9, 2.1), (1.0,), (0.9, 2.9)), num_pools=2)
    assert rows[2]["mean"] < rows[0]["mean"] + 1e-9
    assert winner_of(rows) == 0
    assert winner_of(rows_of(SETTINGS, reports((1.0, 2.0), (1.0, 2.0), (3.0, 3.0)), 2)) == 0
    with pytest.raises(WorkerError, match=r"raise sweep\.grace_pools"):
        winner_of(rows_of(SETTINGS, reports((1.0,), (1.0,), (3.0,)), 2))


def test_a_trial_without_a_result_is_an_error() -> None:
    with pytest.raises(WorkerError, match="2 of 3 trials have a result"):
        rows_of(SETTINGS, reports((3.0, 5.0), (1.0,)), num_pools=2)


def test_gains_are_paired_by_pool() -> None:
    """Differences 3, 4, 2: mean 3, standard deviation 1."""
    found = compared({"winner": outcomes(7.0, 8.0, 12.0), "own": outcomes(7.0, 8.0, 12.0), "raw": outcomes(10, 12, 14)})
    assert found["gains"]["raw"]["mean"] == pytest.approx(3.0)
    assert found["gains"]["raw"]["se"] == pytest.approx(3**-0.5)
    assert found["gains"]["raw"]["z"] == pytest.approx(3 * 3**0.5)
    assert found["gains"]["own"] == {"mean": 0.0, "se": 0.0, "z": None}
    assert found["arms"]["raw"]["mean"] == 12.0
    assert "winner" not in found["gains"]


def test_the_verdict_says_how_many_were_compared_and_in_which_direction() -> None:
    found = compared({"winner": outcomes(7.0, 8.0, 12.0), "own": outcomes(6.0, 6.5, 11.5), "raw": outcomes(10, 12, 14)})
    said = verdict("kid", 48, SETTINGS[1], found)
    assert said.startswith("of 48 settings the best on validation is input own, calibrator platt, alpha 0.5, tail none")
    assert "its KID is 9 ± 1.5" in said
    assert "farther than the run's own weights (8) by 1 (3.5 standard errors)" in said
    assert "nearer than raw samples (12) by 3 (5.2 standard errors)" in said


def test_the_table_holds_every_trial() -> None:
    rows = rows_of(SETTINGS, reports((3.0, 5.0), (1.0,), (2.0, 2.5)), num_pools=2)
    back = list(csv.DictReader(io.StringIO(as_csv(rows).decode())))
    assert [float(row["mean"]) for row in back] == [4.0, 1.0, 2.25]
    assert [row["values"] for row in back] == ["3.0 5.0", "1.0", "2.0 2.5"]
    assert back[1]["stopped"] == "True"
