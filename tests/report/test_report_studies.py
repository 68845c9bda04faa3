"""The section of known answers: the numbers of the studies that were run, and nothing of the others."""

from typing import Any

import pytest
from html_reader import Reader
from report_example import example
from studies_example import FORMS, studies

from lfiw_ray.report import cells, study_figures, toy_figures
from lfiw_ray.report.cells import cell
from lfiw_ray.report.page import render
from lfiw_ray.report.studies import VIEWS, StudyTable, views

TITLES = {
    "toy": "One Gaussian for a mixture of two",
    "estimators": "Bias and variance of the forms of the weights",
    "telescoping": "Telescoping over a density chasm",
    "gaussians": "Weights against the true ratio of two Gaussians",
}


def table(name: str, place: int = 0) -> StudyTable:
    (view,) = views({name: studies()[name]})
    return view.tables[place]


@pytest.mark.parametrize("run", [(), ("toy",), ("telescoping", "estimators"), tuple(VIEWS)])
def test_only_what_was_run_is_shown_in_the_order_of_the_page(run: tuple[str, ...]) -> None:
    reader = Reader(render(example(studies={name: studies()[name] for name in run})))
    shown = [title for title in TITLES.values() if title in reader.text]
    assert shown == [TITLES[name] for name in VIEWS if name in run]
    places = [reader.text.index(title) for title in shown]
    assert places == sorted(places)
    assert ("#known" in [link["href"] for link in reader.all("a")]) == bool(run)
    assert ("Known answers" in reader.text) == bool(run)


def test_every_study_has_a_title_and_an_example() -> None:
    assert VIEWS.keys() == TITLES.keys() == studies().keys()


def test_rows_are_as_long_as_their_heads() -> None:
    for view in views(studies()):
        assert view.figures
        for found in view.tables:
            assert {1 + len(cells) for _, cells in found.rows} == {len(found.columns)}


def test_toy_table_shows_each_k_the_limit_and_the_floor() -> None:
    toy, rows = studies()["toy"], dict(table("toy").rows)
    assert list(rows) == [
        *(f"k = {k:,}" for k in (1, 2, 5, 20, 100, 1_000)),
        "limit of large k and many outputs",
        "as many draws of the data",
    ]
    entry = next(e for e in toy["sir"] if (e["weights"], e["k"]) == ("estimated", 20))
    assert rows["k = 20"][1] == cell(entry["wasserstein"], entry["wasserstein_se"])
    assert rows["k = 20"][3].value == str(entry["ks"])
    assert rows["limit of large k and many outputs"][1].value == str(toy["limits"]["estimated"]["wasserstein"])
    assert rows["limit of large k and many outputs"][0].text == "0.0000"
    assert [c.value for c in rows["as many draws of the data"][::2]] == [
        str(toy["floor"]["wasserstein"]),
        str(toy["floor"]["ks"]),
    ]


def test_toy_sentences_state_coverage_and_losses() -> None:
    (view,) = views({"toy": studies()["toy"] | {"coverage": {"mean": 0.9367, "se": 0.0145, "num_data_sets": 20}}})
    assert "over 93.7 ± 1.5 % of the points, on average over 20 data sets; 95 % is wanted." in view.sentences[0]


def test_estimator_tables_show_every_quantity_and_why_one_is_missing() -> None:
    found = table("estimators", 1)
    assert found.caption.startswith(
        "k = 0.97: k_hat 0.3100 ± 0.0020, ESS / N 65.0 %, the weights' variance is infinite"
    )
    assert found.columns[:4] == ("weights", "bias of E[x]", "sd of E[x]", "rmse of E[x]")
    rows = dict(found.rows)
    assert list(rows) == list(FORMS.values())
    assert [float(c.value) for c in rows["plain"]] == pytest.approx(
        [factor * size for size in (0.1, 0.2, 0.3) for factor in (-0.3, 1, 1.044)]
    )
    assert [c.note for c in rows["self-normalised"]] == [""] * 6 + ["it has none"] * 3


def test_telescoping_shows_all_arms_of_a_model_and_the_widest_distance_in_words() -> None:
    (view,) = views({"telescoping": studies()["telescoping"]})
    assert view.sentences[1].startswith(
        "At 100 nats the quadratic model's log ratio is off by, in nats: 82.0 ± 4.8 (one classifier)"
    )
    assert "10.00 ± 0.59 (telescoped)." in view.sentences[2]
    assert [len(found.rows) for found in view.tables] == [9, 9]
    rows = dict(view.tables[1].rows)
    assert [float(c.value) for c in rows["50 nats, telescoped"][:3]] == pytest.approx([45.0, 45.5, 5.0])


def test_gaussians_table_has_a_column_for_each_number_of_dimensions() -> None:
    (view,) = views({"gaussians": studies()["gaussians"]})
    assert "Two Gaussians 0.50 nats apart" in view.sentences[0]
    (found,) = view.tables
    assert found.columns == ("quantity", "2 dimensions", "50 dimensions")
    rows = dict(found.rows)
    assert [c.value for c in rows["slope over the true log weights (1)"]] == [
        str(case["slope"]) for case in studies()["gaussians"]["cases"]
    ]
    values = [c.value for _, cells in found.rows for c in cells]
    assert len(values) == len(set(values)) == 22


def test_figures_say_what_they_show() -> None:
    toy, arms = studies()["toy"], studies()["telescoping"]["arms"][:3]
    label = Reader(study_figures.chasm(arms, {"single": "one"}, "chasm")).all("svg")[0]["aria-label"]
    assert label == "Estimated KL for true ones of [20.0] nats: one 18.0, single_long 18.0, telescoped 18.0."
    nearly = toy | {"estimated": [*toy["bayes"][:-1], toy["bayes"][-1] + 0.25]}
    assert "largest gap 0.25" in Reader(toy_figures.probabilities(nearly)).all("svg")[0]["aria-label"]
    said = Reader(toy_figures.distances(toy)).all("svg")[0]["aria-label"]
    for weights in ("true", "estimated"):
        mine = [entry for entry in toy["sir"] if entry["weights"] == weights]
        listed = ", ".join(f"{cells.plain(entry['wasserstein'], 2)} at {entry['k']:,}" for entry in mine)
        assert f"{weights} weights: {listed}" in said
    assert {"k = 1", "k = 1,000", "true weights"} <= set(Reader(toy_figures.resampled(toy)).texts)


def test_names_of_a_study_are_only_text() -> None:
    hostile = "<script>alert(1)</script> $x^2$ & }}"
    found: dict[str, Any] = {name: dict(results) for name, results in studies().items()}
    found["estimators"]["quantities"] = dict.fromkeys(found["estimators"]["quantities"], hostile)
    found["telescoping"]["arms"] = [arm | {"model": hostile, "arm": hostile} for arm in found["telescoping"]["arms"]]
    reader = Reader(render(example(studies=found)))
    assert not reader.all("script")
    assert f"rmse of {hostile}" in reader.text
    assert f"the {hostile} model's log ratio" in reader.text
