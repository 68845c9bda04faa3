"""Lines of the log: how far a pool is, a minute's line while nothing arrives, lines within a long epoch."""

import logging
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_toys import write_weights

from lfiw_ray.core import blocks, so_far
from lfiw_ray.engine import metrics, progress
from lfiw_ray.engine.progress import Progress, duration
from lfiw_ray.engine.train_log import TrainLog
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import done_marks

HALF = np.repeat([0.0, -np.inf], 4096)
ONE = so_far.of(blocks.block_stats(HALF, 0), 8192)


def test_a_line_says_how_far_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 110.0, 700.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = Progress("samples and weights", 4, ONE)
    assert shown.line() == "samples and weights: 0 of 4 shards, 0 rows, 0 rows/s; so far at alpha 1: ESS 4,096 of 8,192"
    shown.add({"generate_rows": 16384, "generate_s": 1.0, "score_rows": 8192}, None)
    assert "1 of 4 shards, 16384 rows, 1638 rows/s, about 30 s left" in shown.line()
    for _ in range(3):
        shown.add({"generate_rows": 32768}, ONE)
    line = shown.line()
    assert "4 of 4 shards, 32768 rows, 55 rows/s; so far at alpha 1: ESS 16,384 of 32,768" in line
    assert "left" not in line


def test_k_hat_is_shown_once_it_is_known() -> None:
    shown = Progress("weights", 1, so_far.NOTHING)
    assert "ESS" not in shown.line()
    log_w = np.random.Generator(np.random.Philox(0)).normal(0, 1, 80 * 8192)
    shown.add({}, so_far.of(blocks.block_stats(log_w, 0), len(log_w)))
    assert "k_hat about 0." in shown.line()


def test_lines_come_while_no_shard_arrives(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress("toys", 7, so_far.NOTHING, every_s=0.01):
        end = time.monotonic() + 30
        while len(caplog.messages) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    assert len(caplog.messages) >= 4
    assert all(line.startswith("toys: 0 of 7 shards") for line in caplog.messages)
    ended = len(caplog.messages)
    time.sleep(0.05)
    assert len(caplog.messages) == ended


def test_a_log_gets_a_line_a_minute_and_a_terminal_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, seconds in ((True, 10.0), (False, 60.0)):
        monkeypatch.setattr(progress.sys.stdout, "isatty", lambda terminal=terminal: terminal)
        assert progress.seconds_between_lines() == seconds


@pytest.mark.parametrize(("seconds", "text"), [(12.3, "12 s"), (90, "2 min"), (5399, "90 min"), (12600, "3.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_long_epoch_says_something_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr("lfiw_ray.engine.train_log.time.monotonic", lambda: now[0])
    with TrainLog("generator", 2, Folder(str(tmp_path)), writes=True) as log:
        for step in range(1, 13):
            now[0] += 15.0  # a line is due every 60 s
            log.add({"loss": torch.tensor(float(step))})
            log.step(step, 24)
    assert caplog.messages == [
        "generator: step 4 of at most 24, 60 s  loss 2.5",
        "generator: step 8 of at most 24, 2 min  loss 4.5",
        "generator: step 12 of at most 24, 3 min  loss 6.5",
    ]


def test_sums_of_done_marks_are_those_of_the_weights(tmp_path: Path) -> None:
    log_w = np.random.Generator(np.random.Philox(1)).normal(0, 2, 20_000).astype(np.float32)
    table, state = write_weights(tmp_path, log_w, 8192), so_far.NOTHING
    for mark in done_marks(table):
        state = so_far.merge(state, so_far.of(blocks.from_json(mark.extra["blocks"]), mark.rows))
    w = np.exp(log_w.astype(float))
    assert state.rows == 20_000
    assert so_far.ess(state) == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-5)


def test_metrics_cost_nothing_where_there_is_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(metrics, "_ray_metric", None)  # would fail when it is called
    before = threading.active_count()
    metrics.count("lfiw_rows_total", 3, work="a", step="b")
    metrics.observe("lfiw_shard_seconds", 3, work="a", step="b")
    metrics.show_weights(metrics.USED, 3, 2.0, None)
    assert threading.active_count() == before
