"""The diagnostics stage against the same figures of all weights at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core import blocks, diagnostics, forms
from lfiw_ray.core.calibration import Calibration
from lfiw_ray.core.digest import digest
from lfiw_ray.engine.committee import CALIBRATION, TUNING
from lfiw_ray.engine.diagnose import diagnose, form_of, kept_blocks
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.run import FitRows, Run
from lfiw_ray.store import shards, stages
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import to_parquet, weights_table

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

POOL = 20_000
RNG = np.random.default_rng(7)
LOG_W = RNG.normal(-1.0, 1.4, POOL).astype(np.float32)
NAIVE_LOG_W = RNG.normal(-8.0, 4.0, POOL).astype(np.float32)
TUNING_LOGITS = np.random.default_rng(8).normal(-1.0, 1.4, 4096)


def a_run(
    folder: Path, alpha: float | str, naive: bool, tuning: np.ndarray = TUNING_LOGITS, **weights: float | str
) -> Run:
    """A run whose classifier and weights are finished."""
    config = PipelineConfig.model_validate(
        {
            "run": str(folder),
            "generate": {"num_samples": POOL, "rows_per_shard": 8192},
            "weights": {"alpha": alpha, **weights},
            "resample": {"k": 2000},
            "evaluate": {"naive": naive},
        }
    )
    run = Run(config, str(folder), stage_plans(config, digest("d")), (8, 8, 1), FitRows(1, 1, 1), 1, 1)
    body = {"calibration": Calibration("platt", 1.0, 0.0, False).to_json(), "log_prior_odds": 0.0}
    files = {CALIBRATION: json.dumps(body).encode(), TUNING: json.dumps(tuning.tolist()).encode()}
    stages.finish(run.folder("classifier"), run.plans["classifier"], files, {})
    write(run.table("weights"), LOG_W)
    if naive:
        write(run.table("naive_weights"), NAIVE_LOG_W)
    return run


def write(table: Table, log_w: np.ndarray) -> None:
    for shard in range(table.layout.num_shards):
        rows = slice(*table.layout.bounds(shard))
        body = weights_table(np.arange(POOL)[rows], log_w[rows], log_w[rows])
        shards.commit(table.folder, shard, table.plan, len(log_w[rows]), to_parquet(body))


def assert_figures(found: dict[str, Any], log_w: np.ndarray) -> None:
    whole = diagnostics.diagnose(np.asarray(log_w, np.float64))._asdict()
    for name in ("n", "mean_w", "ess", "k_hat", "max_share", "top1pct_share", "perplexity"):
        assert found[name] == pytest.approx(whole[name], rel=1e-9), name


def test_each_side_has_its_own_weights_and_exponent(tmp_path: Path) -> None:
    found = diagnose(a_run(tmp_path, 0.5, naive=True))
    assert_figures(found["chosen"], 0.5 * LOG_W.astype(np.float64))
    assert_figures(found["naive"], NAIVE_LOG_W)
    assert (found["alpha"]["alpha"], found["alpha"]["auto"]) == (0.5, False)
    assert found["verdict"]["passed"]
    assert not found["verdict_naive"]["passed"]
    assert found["log_w_histogram"]["edges"][-1] == pytest.approx(LOG_W.max(), abs=1 / 32)  # not flattened
    assert sum(found["log_w_histogram"]["counts"]) == pytest.approx(POOL, rel=1e-3)


def test_without_the_naive_method_its_side_is_the_same_weights_at_one(tmp_path: Path) -> None:
    found = diagnose(a_run(tmp_path, 0.5, naive=False))
    assert_figures(found["chosen"], 0.5 * LOG_W.astype(np.float64))
    assert_figures(found["naive"], LOG_W)
    assert found["naive_is"] == "the same weights"


def test_alpha_is_chosen_on_the_tuning_rows_alone(tmp_path: Path) -> None:
    mild = diagnose(a_run(tmp_path / "mild", "auto", naive=False))["alpha"]
    wild = diagnose(a_run(tmp_path / "wild", "auto", naive=False, tuning=3 * TUNING_LOGITS))["alpha"]
    assert mild["auto"]
    assert 0 < wild["alpha"] < mild["alpha"]
    passing = [trial["alpha"] for trial in mild["table"] if trial["passed"]]
    assert mild["alpha"] == max(passing)


def test_weights_flattened_to_nothing_do_not_pass(tmp_path: Path) -> None:
    verdict = diagnose(a_run(tmp_path, 0.0, naive=False))["verdict"]
    assert not verdict["passed"]
    assert "nothing is corrected" in verdict["reasons"][0]


@pytest.mark.parametrize("weights", [{}, {"beta": 0.3}, {"tail": "truncate"}, {"tail": "psis", "beta": 0.1}])
def test_the_form_of_the_weights_is_resolved_from_the_whole_pool_and_kept(
    tmp_path: Path, weights: dict[str, Any]
) -> None:
    """Figures are of the weights as used, k_hat of those before clip and tail; block sums are of the same form."""
    run = a_run(tmp_path, 0.9, naive=False, **weights)
    found = diagnose(run)["chosen"]
    used = forms.transform(LOG_W, 0.9, weights.get("beta", 0.0), weights.get("tail", "none"))
    whole = diagnostics.diagnose(used)
    for name in ("mean_w", "ess", "max_share"):
        assert found[name] == pytest.approx(getattr(whole, name), rel=1e-9)
    assert found["k_hat"] == pytest.approx(diagnostics.diagnose(0.9 * LOG_W.astype(float)).k_hat, rel=1e-9)
    assert np.array_equal(form_of(run).apply(LOG_W), used)
    for kept, sums in zip(kept_blocks(run)[1:], blocks.block_stats(used, 0)[1:], strict=True):
        assert np.array_equal(kept, sums)
