"""engine/calibration_figures.py: every figure of the core, as plain JSON, with its band and its warnings."""

import json

import numpy as np
import pytest

from lfiw_ray.core.bootstrap import SCALARS, bands
from lfiw_ray.core.calibration import KINDS, Calibration, choose
from lfiw_ray.core.reliability import report
from lfiw_ray.engine.calibration_figures import calibration_figures, figures_of


def _rows(seed, n=200):
    rng = np.random.default_rng(seed)
    y = np.repeat([1.0, 0.0], n)
    return 3 * (rng.standard_normal(2 * n) + y - 0.5), y


@pytest.mark.parametrize("kind", KINDS)
def test_json_holds_the_figures_of_both_sides(kind):
    choice, judge = choose(*_rows(0), kinds=(kind,)), _rows(1)
    body = json.loads(json.dumps(calibration_figures(choice, judge, 0.5, seed=4), allow_nan=False))
    assert Calibration.from_json(body["calibration"]) == choice.calibration
    assert body["candidates"] == choice.cv_log_loss_nats
    assert body["log_prior_odds"] == 0.5
    for side, logits in (("before", judge[0]), ("after", choice.calibration.apply(judge[0]))):
        whole, ends = report(logits, judge[1], 0.5), bands(logits, judge[1], 0.5, 4)
        assert body[side]["log_loss_nats"] == whole.log_loss_nats
        assert body[side]["mean_w_model"] == whole.model_mean_w.mean
        assert body[side]["bands"] == {name: list(ends.scalars[name]) for name in SCALARS}
        assert set(body[side]["bands"]) < set(body[side])
        assert [row["low"] for row in body[side]["bins"]] == ends.curve_low.tolist()
        assert all(row["low"] <= row["observed"] <= row["high"] for row in body[side]["bins"])
    assert (body["after"]["tied"] > 0) == (kind == "isotonic")
    assert [text.split(" makes")[0] for text in body["warnings"]] == ["isotonic calibration"] * (kind == "isotonic")


def test_a_backward_classifier_is_loud():
    logits, y = _rows(0)
    choice = choose(-logits, y)
    body = calibration_figures(choice, (-logits, y), 0.0, seed=0)
    assert body["calibration"]["a"] < 0
    assert body["warnings"][0].startswith("THE CLASSIFIER RANKS BACKWARDS")


def test_what_is_not_finite_is_null():
    found, ends = report(*_rows(0), 0.0), bands(*_rows(0), 0.0, 0)
    got = figures_of(
        found._replace(z=np.inf),
        ends._replace(scalars={"ece": (0.1, np.nan)}, curve_low=np.full_like(ends.curve_low, np.nan)),
    )
    assert got["z"] is None
    assert got["bands"] == {"ece": [0.1, None]}
    assert {row["low"] for row in got["bins"]} == {None}
    json.dumps(got, allow_nan=False)
