"""The tables of the evaluation: marks, groups, columns, intervals, reasons; and what is said of the run as a whole."""

from typing import Any

import pytest
from report_example import ARMS, FID, example

from lfiw_ray.report import metric_tables, tables, whole_run


def space(fids: dict[str, float | None]) -> dict[str, Any]:
    arms = {arm: {"fid": {"mean": fid, "se": 0.1, "values": []}} for arm, fid in fids.items()}
    about = {"description": "", "weights_sha256": None, "inception_score_note": None, "real": {"fid": 1.0}}
    arms = {arm: {**figures, "rank_deficient": False} for arm, figures in arms.items()}
    return about | {"arms": arms, "arm_order": list(fids)}


def fid_marks(fids: dict[str, float | None]) -> dict[str, str]:
    table, *_ = metric_tables.metric_tables({"extractors": {"s": space(fids)}, "arms": ARMS}, "s")
    rows = [row for _, group in table.groups for row in group]
    return {arm: row.cells[0].mark for arm, row in zip(fids, rows, strict=True)}


def test_best_arm_and_best_unbiased_arm_are_marked() -> None:
    assert fid_marks({"raw": 50.0, "sir": 20.0, "sir_naive": 90.0}) == {"raw": "", "sir": "★", "sir_naive": "☆"}
    assert fid_marks({"raw": 50.0, "sir": 20.0, "sir_naive": 9.0}) == {"raw": "", "sir": "", "sir_naive": "★"}
    assert fid_marks({"raw": 50.0, "sir": None, "sir_naive": float("nan")}) == {"raw": "★", "sir": "", "sir_naive": ""}


def test_arms_stand_under_their_alpha() -> None:
    evaluation = example().evaluation
    table, *_ = metric_tables.metric_tables(evaluation, "domain")
    titles = {title: len(rows) for title, rows in table.groups}
    assert titles == {
        "Without weights": 1,
        "alpha = 0.5, chosen for this run": 4,
        "Done naively, at alpha = 1": 2,
        tables.RIVALS: 7,
    }
    assert [title for title, _ in table.groups][-1] == tables.RIVALS


def test_a_column_has_one_number_of_decimals() -> None:
    for table in metric_tables.metric_tables(example().evaluation, "domain"):
        rows = [row for _, group in table.groups for row in group]
        for place, column in enumerate(table.columns):
            texts = [row.cells[place].text for row in rows if row.cells[place].value and column.direction]
            assert len({len(part.partition(".")[2]) for text in texts for part in text.split(" to ")}) < 2


def test_each_figure_that_was_computed_has_a_column_and_no_other() -> None:
    evaluation = example().evaluation
    titles = {name: [t.title for t in metric_tables.metric_tables(evaluation, name)] for name in ("domain", "random")}
    assert titles["domain"] == titles["random"] == ["Metrics", "Further metrics", "95 % intervals of the means"]
    keys = {n: {c.key for t in metric_tables.metric_tables(evaluation, n) for c in t.columns} for n in titles}
    assert keys["domain"] - keys["random"] == {"inception_score_splits"}
    assert {"c2st_accuracy", "kl_reduction_bins_nats"} < keys["random"]
    assert not {"kid_rbf", "fid_infinity", "fid_npz"} & keys["domain"]
    for arm in evaluation["extractors"]["random"]["arms"].values():
        arm["kid_rbf"], arm["fid_npz"] = arm["kid"], {k: v for k, v in arm["fid"].items() if k in ("mean", "se")}
    _, more, intervals = metric_tables.metric_tables(evaluation, "random")
    assert [c.key for c in more.columns] == ["c2st_accuracy", "kl_reduction_bins_nats", "kid_rbf", "fid_npz"]
    assert {"kid_rbf", "fid"} <= {c.key for c in intervals.columns}
    assert not {"fid_npz", "ess", "distinct"} & {c.key for c in intervals.columns}
    assert [len(cells) for cells in (more.real, intervals.real)] == [4, 0]


def test_an_interval_is_that_of_its_arm() -> None:
    evaluation = example().evaluation
    *_, intervals = metric_tables.metric_tables(evaluation, "domain")
    rows = [row for _, group in intervals.groups for row in group]
    for arm, row in zip(FID, rows, strict=True):
        found = evaluation["extractors"]["domain"]["arms"][arm]["fid"]
        assert row.cells[0].value == f"{found['low']} to {found['high']}"
        low, high = (float(end.replace(",", "")) for end in row.cells[0].text.split(" to "))
        assert (low, high) == pytest.approx((found["low"], found["high"]), abs=0.05)


def test_a_distance_of_too_few_rows_says_so() -> None:
    evaluation = example().evaluation
    table, *_ = metric_tables.metric_tables(evaluation, "domain")
    rows = dict(zip(FID, [row for _, group in table.groups for row in group], strict=True))
    (letter,) = (letter for letter, reason in table.notes if reason.startswith("rank-deficient: fewer rows (N 3,000"))
    assert "than the 64 features" in dict(table.notes)[letter]
    assert [arm for arm, row in rows.items() if row.cells[0].note == letter] == ["weighted_naive"]
    assert rows["weighted_naive"].cells[0].text != "n/a"
    assert rows["weighted_naive"].cells[1].note == ""  # a KID has no covariance


def test_the_rows_compared_with_are_named() -> None:
    evaluation = example().evaluation
    for kind, said in (("held_out", "nothing else has seen"), ("test", "published test"), ("train", "has seen: one")):
        assert said in whole_run.compared_with({**evaluation, "reference": kind})
    assert whole_run.compared_with(evaluation).startswith("3,000 real rows")


def test_the_gain_of_the_weights_is_said_where_there_is_one() -> None:
    evaluation = example().evaluation
    said = whole_run.gain(evaluation)
    assert said is not None
    assert said.startswith(
        "KL reduction of the weights (alpha = 0.5): 1.900 ± 0.020 nats, from the weights of 3,000 re"
    )
    assert whole_run.gain({**evaluation, "kl_reduction_nats": None}) is None


def test_whole_sets_are_rows_with_what_their_space_knows() -> None:
    figures = {"fid": 7.0, "num_rows": 100_000, "ess": 5e4}
    whole = {"domain": {"raw": {**figures, "inception_score": 5.0}}, "random": {"raw": figures, "weighted": figures}}
    rows = whole_run.whole_sets({**example().evaluation, "whole_pool": whole})
    assert [row.label for row in rows] == ["raw, in “domain”", "raw, in “random”", "weighted, in “random”"]
    assert [cell.text for cell in rows[0].cells] == ["100,000", "50,000", "7.000", "5.000"]
    assert rows[1].cells[3].note == "random features have no classes"
    assert whole_run.whole_sets(example().evaluation) == []
