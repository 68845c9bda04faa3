"""Stage: choose alpha on rows outside the pool, resolve the form of the weights, diagnose the pool's and judge them.

One pass over the weights by tasks over groups of shards; their states merge on the cluster.  A clip or a tail other
than none needs figures of all flattened weights first, hence a second pass.  The sums of each block of 8,192 rows in
the form that is used are kept, so that drawing with replacement need not read the weights again.
"""

import json
import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lfiw_ray.core import blocks, diagnostics, forms, histogram
from lfiw_ray.core.blocks import BlockStats
from lfiw_ray.core.diagnostics import Diagnostics, WeightState
from lfiw_ray.core.forms import Form
from lfiw_ray.core.gate import AlphaChoice, Verdict, choose_alpha, gate
from lfiw_ray.engine.committee import tuning_log_w
from lfiw_ray.engine.groups import merged
from lfiw_ray.engine.read import shard_log_w
from lfiw_ray.engine.run import Run
from lfiw_ray.store import stages
from lfiw_ray.store.contents import parsed, understood
from lfiw_ray.store.shards import Table, groups
from lfiw_ray.store.tables import from_parquet, to_parquet

NAME = "diagnostics.json"
BLOCKS = "blocks.parquet"
_RAW = Form()


class Pass(NamedTuple):
    """What one pass leaves: a state for each form, and the block sums of the first."""

    states: list[WeightState]
    stats: BlockStats


def diagnose(run: Run) -> dict[str, Any]:
    """Diagnose, unless it is done; returns the contents of diagnostics.json."""
    folder, plan, config = run.folder("diagnostics"), run.plans["diagnostics"], run.config.weights
    if (done := stages.finished(folder, plan)) is not None:
        return done
    choice = choose_alpha(tuning_log_w(run), config.min_ess_fraction, config.max_k_hat)
    alpha = choice.alpha if config.alpha == "auto" else config.alpha
    form, (flat, chosen, raw), stats = _chosen(run, alpha)
    naive = _whole(run, run.naive_table, [_RAW]).states[0] if run.config.evaluate.naive else raw
    # a smoothed or truncated tail hides its own shape, hence k_hat is that of the weights before
    k, figures = run.config.resample.k, diagnostics.finish(chosen)._replace(k_hat=diagnostics.finish(flat).k_hat)
    body = {
        "alpha": {
            "alpha": alpha,
            "auto": config.alpha == "auto",
            "min_ess_fraction": config.min_ess_fraction,
            "max_k_hat": config.max_k_hat,
            "table": _table(choice),
        },
        "form": form.to_json(),
        "chosen": _plain(figures),
        "naive": _plain(diagnostics.finish(naive)),
        "verdict": _verdict(_judge(figures, alpha, k, config.max_k_hat)),
        "verdict_naive": _verdict(gate(diagnostics.finish(naive), k, config.max_k_hat)),
        "lorenz": _lorenz(chosen, naive),
        "log_w_histogram": _histogram(raw),
        "naive_is": "a classifier of clean pixels" if run.config.evaluate.naive else "the same weights",
    }
    files = {NAME: json.dumps(body, indent=1, allow_nan=False).encode(), BLOCKS: bytes(to_parquet(_as_table(stats)))}
    return stages.finish(folder, plan, files, body)


def form_of(run: Run) -> Form:
    """The form of the weights that a finished run uses."""
    folder = run.folder("diagnostics")
    with understood(folder.path(NAME)):
        return Form.from_json(parsed(stages.read(folder, NAME), folder.path(NAME))["form"])


def kept_blocks(run: Run) -> BlockStats:
    """Sums of all blocks of the pool in that form."""
    table = from_parquet(stages.read(run.folder("diagnostics"), BLOCKS))
    return BlockStats(1.0, *(table.column(name).to_numpy() for name in BlockStats._fields[1:]))


def _as_table(stats: BlockStats) -> pa.Table:
    return pa.table({name: pa.array(column) for name, column in zip(stats._fields[1:], stats[1:], strict=True)})


def _chosen(run: Run, alpha: float) -> tuple[Form, list[WeightState], BlockStats]:
    """The resolved form; states of the weights flattened, in that form, and as they are; the form's block sums."""
    config, table = run.config.weights, run.table("weights")
    flat = Form(alpha)
    first = _whole(run, table, [flat, _RAW])
    form = forms.resolve(alpha, config.beta, config.tail, first.states[0])
    flattened, raw = first.states
    if form == flat:
        return flat, [flattened, flattened, raw], first.stats
    second = _whole(run, table, [form])
    return form, [flattened, second.states[0], raw], second.stats


def _whole(run: Run, table: Table, used: list[Form]) -> Pass:
    """One pass over a pool's weights."""
    parts = groups(range(table.layout.num_shards), 4 * run.config.resample.num_tasks)
    return merged("diagnostics", partial(_of_shards, table, used), parts, _merged)


def _of_shards(table: Table, used: list[Form], shards: list[int]) -> Pass:
    """Some consecutive shards."""
    states, stats = [diagnostics.empty(table.layout.num_rows) for _ in used], []
    for shard in shards:
        start, log_w = table.layout.bounds(shard)[0], shard_log_w(table, shard)
        formed = [log_w if form == _RAW else form.apply(log_w, start) for form in used]
        states = [diagnostics.extend(state, rows, start) for state, rows in zip(states, formed, strict=True)]
        stats.append(blocks.block_stats(formed[0], start))
    return Pass(states, blocks.concatenate(stats))


def _merged(a: Pass, b: Pass) -> Pass:
    states = [diagnostics.merge(one, other) for one, other in zip(a.states, b.states, strict=True)]
    return Pass(states, blocks.concatenate([a.stats, b.stats]))


def _plain(figures: Diagnostics) -> dict[str, Any]:
    """As JSON; a figure that does not exist or is not finite becomes null, and k_hat then has a note that says why."""
    plain = {k: v if v is not None and math.isfinite(v) else None for k, v in figures._asdict().items()}
    return {**plain, "k_hat_note": _k_hat_note(figures.k_hat)}


def _k_hat_note(k_hat: float | None) -> str | None:
    if k_hat is None:
        return "the weights are equal"
    return None if math.isfinite(k_hat) else "too few rows stand out to tell the tail's shape"


def _judge(figures: Diagnostics, alpha: float, k: int, max_k_hat: float) -> Verdict:
    """The gate's verdict; weights that had to be flattened to nothing do not pass, though they are well behaved."""
    verdict = gate(figures, k, max_k_hat)
    if alpha > 0:
        return verdict
    reason = "No exponent above 0 passed on the tuning rows: the weights are not used, and nothing is corrected."
    advice = (
        "Bring real and generated rows closer for the classifier: more noise on both sides, or frozen features.",
        "Train a better generator.",
    )
    return Verdict(False, (reason, *verdict.reasons), advice + verdict.advice)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"passed": verdict.passed, "reasons": list(verdict.reasons), "advice": list(verdict.advice)}


def _table(choice: AlphaChoice) -> list[dict[str, Any]]:
    return [
        {
            **trial._asdict(),
            "k_hat": trial.k_hat if trial.k_hat is not None and math.isfinite(trial.k_hat) else None,
            "k_hat_note": _k_hat_note(trial.k_hat),
        }
        for trial in choice.table
    ]


def _lorenz(chosen: WeightState, naive: WeightState) -> dict[str, list[float]]:
    """Share of the weight that the lightest rows hold, at 101 shares of rows."""
    share = np.linspace(0, 1, 101)
    return {
        "rows": share.tolist(),
        "weight": _lightest(chosen, share).tolist(),
        "weight_naive": _lightest(naive, share).tolist(),
    }


def _lightest(state: WeightState, share: np.ndarray) -> np.ndarray:
    rows, held = histogram.shares(state.histogram)
    heaviest: np.ndarray = np.interp((1 - share) * state.num_rows, rows, held)
    return 1 - heaviest


def _histogram(state: WeightState, num_bins: int = 64) -> dict[str, list[float]]:
    """Counts of raw log weights, nats, in equal bins over the range that holds all but the lowest 1 in 2,000."""
    counts = state.histogram.counts[::-1]
    top = (state.histogram.top + 1) * histogram.BIN_NATS
    edges = top - histogram.BIN_NATS * np.arange(len(counts), -1, -1)
    first = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2000))
    coarse = np.linspace(edges[first], edges[-1], num_bins + 1)
    binned, _ = np.histogram((edges[:-1] + edges[1:]) / 2, coarse, weights=counts)
    return {"edges": coarse.tolist(), "counts": binned.tolist()}
