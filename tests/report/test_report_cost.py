"""The table of times and cost: the truth beside the estimate, and money where it is known."""

import re

from html_reader import Reader
from report_example import example

from lfiw_ray.report.page import render

SECONDS = {"generator": 120.0, "evaluation": 33.0}


def shown(**changes: object) -> str:
    return Reader(render(example(stage_seconds=SECONDS, **changes))).text


def test_times_stand_alone_where_nothing_else_is_known() -> None:
    text = shown()
    assert "Time and cost of each stage: 2 min 33 s in all stage time generator 2 min 0 s evaluation 33.0 s" in text


def test_estimate_money_and_bytes_are_shown_where_they_are_known() -> None:
    text = shown(
        expected_s={"generator": 90.0},
        stage_money={"generator": 1.25, "evaluation": 0.5},
        currency="EUR",
        stored_bytes={"samples": 1_500_000, "weights": 100_000},
    )
    assert "2 min 33 s in all, 1.75 EUR for the nodes that were there; 1.6 MB in the run folder" in text
    row = re.search(r"stage time estimated EUR generator (.*) evaluation 33.0 s – 0.50", text)
    assert row is not None, text[text.index("Time and cost") :][:400]
    assert row[1] == "2 min 0 s 1 min 30 s 1.25"


def test_a_currency_is_only_text() -> None:
    page = render(example(stage_seconds=SECONDS, stage_money={"generator": 1.0}, currency="<b>x"))
    assert "<b>x" not in page
    assert "&lt;b&gt;x" in page
