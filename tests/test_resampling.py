"""resampling.py: any kind of weights in, the same rows out as the parts it is made of; no Ray is started."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from lfiw_ray import resampling
from lfiw_ray.core import sir, topk
from lfiw_ray.errors import ConfigError, DataError, NonFiniteError
from lfiw_ray.resampling import SCHEMES, diagnose, resample

LOG_W = np.random.default_rng(0).normal(0, 1.5, 30_000).astype(np.float32)


def same(a, b):
    keys = a.keys is b.keys is None or np.array_equal(a.keys, b.keys)
    return keys and all(np.array_equal(x, y) for x, y in zip((a[0], *a[2:]), (b[0], *b[2:]), strict=True))


def test_the_examples_run():
    assert doctest.testmod(resampling).failed == 0
    assert doctest.testmod(resampling).attempted >= 8


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_kind_of_input_is_the_same(tmp_path: Path, scheme: str):
    expected = resample(LOG_W, 100, scheme, seed=3)
    assert expected.weight.sum() == pytest.approx(100)
    assert expected.multiplicity.sum() == 100
    table = pa.table({"log_w": LOG_W})
    for number, rows in enumerate((slice(0, 12_345), slice(12_345, None))):
        pq.write_table(pa.table({"log_w": LOG_W[rows], "x": LOG_W[rows]}), tmp_path / f"{number}.parquet")
    (tmp_path / "0.json").write_text("{}")
    pq.write_table(table, tmp_path.with_suffix(".parquet"))
    kinds = (
        torch.from_numpy(LOG_W),
        table,
        table["log_w"],
        pa.array(LOG_W),
        tmp_path,
        str(tmp_path.with_suffix(".parquet")),
    )
    for kind in kinds:
        assert same(resample(kind, 100, scheme, seed=3), expected)


def test_it_is_the_core():
    assert same(resample(LOG_W, 50, seed=2), topk.finish(topk.init(LOG_W, 0, 50, 2)))
    assert same(resample(LOG_W, 50, "sir", seed=2), sir.resample(LOG_W, 50, 2))
    half = 0.5 * LOG_W.astype(np.float64)
    assert same(resample(LOG_W, 50, seed=2, alpha=0.5), resample(half, 50, seed=2))


def test_budgets_per_class(tmp_path: Path):
    """Each class gets its rows, in proportion to the weights inside it (|z| < 4.5 over 200 seeds, 7e-6)."""
    labels = np.arange(len(LOG_W)) % 3
    budgets = {0: 10, 1: 0, 2: 40}
    for scheme in ("gumbel", "systematic"):
        chosen = resample(LOG_W, 50, scheme, labels=labels, budgets=budgets)
        got = np.bincount(labels[chosen.sample_ids], weights=chosen.multiplicity, minlength=3)
        assert got.tolist() == [10, 0, 40]
        assert np.all(np.diff(chosen.sample_ids) > 0)
    pq.write_table(pa.table({"log_w": LOG_W, "label": labels}), tmp_path / "a.parquet")
    assert same(
        resample(tmp_path, 50, labels=None, budgets=budgets), resample(LOG_W, 50, labels=labels, budgets=budgets)
    )
    w = np.exp(LOG_W[labels == 2].astype(float))
    means = []
    for seed in range(200):
        chosen = resample(LOG_W, 40, "sir", seed, labels=labels, budgets={2: 40})
        means.append(np.average(LOG_W[chosen.sample_ids], weights=chosen.weight))
    assert abs(stats.ttest_1samp(means, w @ LOG_W[labels == 2] / w.sum()).statistic) < 4.7


def test_diagnose():
    assert diagnose(np.zeros(1000)).ess == pytest.approx(1000)
    assert diagnose(LOG_W, 0.5).ess > diagnose(pa.table({"log_w": LOG_W})).ess


def test_no_ray_and_no_torch_are_loaded():
    code = "import sys, lfiw_ray.resampling; print([m for m in ('ray', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_refusals(tmp_path: Path):
    with pytest.raises(ValueError, match="'gumbell'"):
        resample(LOG_W, 5, "gumbell")
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        resample(np.zeros((2, 3)), 1)
    with pytest.raises(ConfigError, match="only 3 rows"):
        resample(np.zeros(3), 4)
    with pytest.raises(NonFiniteError, match="sample id 1;"):
        resample(pa.array([0.0, None]), 1)
    with pytest.raises(DataError, match="no column 'log_w'; it has x"):
        resample(pa.table({"x": [1.0]}), 1)
    with pytest.raises(DataError, match=r"holds no \*.parquet"):
        resample(tmp_path, 1)
    with pytest.raises(DataError, match=r"gone\.parquet"):
        resample(tmp_path / "gone.parquet", 1)
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match=r"bad\.parquet cannot be read"):
        resample(tmp_path, 1)
    with pytest.raises(ValueError, match="budgets sum to 3, k is 4"):
        resample(LOG_W, 4, labels=LOG_W, budgets={0: 3})
    with pytest.raises(ValueError, match="as many as weights"):
        resample(LOG_W, 3, labels=np.zeros(2), budgets={0: 3})
