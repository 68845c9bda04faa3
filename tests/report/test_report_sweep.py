"""The page's section of the sweep: there when there is one, with its numbers; names are text, missing numbers n/a."""

from typing import Any

import pytest
from html_reader import Reader
from report_example import example

from lfiw_ray.report import sweep_figures
from lfiw_ray.report.cells import cell
from lfiw_ray.report.page import render
from lfiw_ray.report.sweep import NUM_BEST, view

SCHEMES = ("sir", "gumbel", "gumbel_ht")


def trials(count: int = 30) -> list[dict[str, Any]]:
    """Made-up trials: number 7 is the best of those that saw every pool, 3 was stopped with a better figure."""
    out = []
    for number in range(count):
        mean = 0.02 + 0.001 * ((number - 7) % count)
        setting = {"input": ("own", "features")[number % 2], "calibrator": "platt", "alpha": 0.2 + 0.2 * (number % 4)}
        setting |= {"tail": "none", "scheme": SCHEMES[number % 3], "k": (500, 1_000)[number % 2]}
        numbers = {"mean": mean, "se": 0.0004, "upper": mean + 0.0004, "ess": 300.0 + number, "distinct": 450.5}
        out.append({"trial": number, **setting, **numbers, "values": [mean, mean], "stopped": False})
    out[3] |= {"mean": 0.001, "upper": 0.001, "se": None, "stopped": True, "values": [0.001]}
    return out


def results() -> dict[str, Any]:
    arms = {
        arm: {"mean": 0.021 + 0.01 * i, "se": 0.0007, "ess": 307.5, "distinct": 455.5, "values": [0.02, 0.022]}
        for i, arm in enumerate(("winner", "own", "raw"))
    }
    part = {"arms": arms, "gains": {arm: {"mean": 0.0101, "se": 0.0021, "z": 4.81} for arm in ("own", "raw")}}
    return {
        "sweep": {},
        "metric": "kid",
        "extractor": {"name": "random", "num_features": 256, "weights_sha256": "ab" * 32},
        "num_trials": 30,
        "num_stopped": 1,
        "grid_size": 4_320,
        "num_real_rows": {"train": 667, "validation": 666, "test": 665},
        "num_calibration_rows": {"real": 667, "generated": 4_096},
        "pool_rows": 12_500,
        "num_validation_pools": 4,
        "num_test_pools": 3,
        "trials": trials(),
        "winner": 7,
        "validation": part,
        "test": part,
        "verdict": "of 30 settings the best on validation is this one",
    }


def test_the_section_is_there_when_there_was_a_sweep() -> None:
    with_sweep, without = Reader(render(example(sweep=results()))), Reader(render(example()))
    assert "sweep" in [section["id"] for section in with_sweep.all("section")]
    assert "sweep" not in [section["id"] for section in without.all("section")]
    for reader, there in ((with_sweep, True), (without, False)):
        assert ("#sweep" in [link["href"] for link in reader.all("a")]) == there
        assert ("Sweep of the settings" in reader.text) == there
    assert len(with_sweep.all("svg")) == len(without.all("svg")) + 2
    assert len(with_sweep.all("caption")) == len(with_sweep.all("table")) == len(without.all("table")) + 2
    ids = [attributes["id"] for _, attributes in with_sweep.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_it_says_how_much_was_compared_on_what() -> None:
    text = " ".join(view(results()).sentences)
    for said in (
        "Of 30 settings the best on validation is this one.",
        "30 settings of a grid of 4,320, 1 of them stopped early, compared by KID in “random” (256 features, weights",
        "667 real and 4,096 generated rows fit calibrators",
        "4 pools of 12,500 samples with 666 real rows",
        "3 other pools with 665 other real rows",
        "too small by itself",
    ):
        assert said in text


def test_the_best_table_is_ranked_and_without_those_that_were_stopped() -> None:
    _, best = view(results()).tables
    assert best.caption.startswith(f"The best {NUM_BEST} of 29 settings")
    shown = [float(cells[0].value) for _, cells in best.rows]
    assert shown == sorted(shown)
    assert best.rows[0][0] == "features, platt, alpha 0.8, tail none, gumbel"
    assert best.rows[0][1][0] == cell(0.02, 0.0004)
    assert {1 + len(cells) for _, cells in best.rows} == {len(best.columns)}


def test_the_judged_table_has_test_and_validation_figures() -> None:
    judged, _ = view(results()).tables
    rows = dict(judged.rows)
    assert list(rows) == ["the winner", "the run's own weights", "raw samples"]
    assert rows["raw samples"][0] == cell(0.041, 0.0007)
    assert rows["raw samples"][2] == cell(0.0101, 0.0021)
    assert rows["raw samples"][3].value == "4.81"
    assert rows["the winner"][2].note == "the winner itself"
    assert judged.columns[0] == "k = 1,000"


def test_figures_say_what_they_show() -> None:
    reader = Reader(sweep_figures.parallel(trials(), 7, "KID"))
    label = reader.all("svg")[0]["aria-label"]
    assert label.startswith(
        "Parallel coordinates of 30 trials; the winner has input features, calibrator platt, alpha 0.8"
    )
    assert "KID + one standard error 0.02040" in label
    assert {"input", "alpha", "scheme", "k", "gumbel_ht", "1,000", "features"} <= set(reader.texts)
    assert "calibrator" not in reader.texts  # one choice tells no trials apart
    label = Reader(sweep_figures.against(trials(), 7, "KID")).all("svg")[0]["aria-label"]
    assert "KID of 30 trials over alpha, k and ESS: from 0.001000 to 0.04900" in label


def test_names_are_only_text() -> None:
    hostile, found = "<script>alert(1)</script> $x^2$ & }}", results()
    found["verdict"] = found["extractor"]["name"] = hostile
    found["trials"] = [trial | {"scheme": f"{trial['scheme']} {hostile}"} for trial in found["trials"]]
    reader = Reader(render(example(sweep=found)))
    assert not reader.all("script")
    assert hostile in reader.text


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf")])
def test_missing_numbers_are_never_shown_as_numbers(nothing: float | None) -> None:
    found = results()
    blank = dict.fromkeys(("mean", "se", "upper", "ess", "distinct"), nothing)
    found["trials"] = [trial | blank for trial in found["trials"]]
    none = {
        "arms": dict.fromkeys(("winner", "own", "raw"), blank),
        "gains": dict.fromkeys(("own", "raw"), blank | {"z": nothing}),
    }
    found["test"] = found["validation"] = none
    text = Reader(render(example(sweep=found))).text
    section = text[text.index("30 settings of a grid") : text.index("What each number means")]
    assert "n/a" in section
    for word in ("nan", "NaN", "inf", "None"):
        assert f" {word} " not in section
