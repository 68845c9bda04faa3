"""Stage: which alpha, k, scheme, calibrator, classifier input and tail bring a run's pool nearest to real rows?

A Ray Tune sweep over settings (`sweep_settings`).  The pool is scored once for each classifier (`sweep_inputs`), its
features are extracted once (`sweep_space`), and a trial only reads them (`sweep_trial`).  Real rows and pools that
choose the winner are not those that judge it (`sweep_space`, `sweep_summary`).

| file of `sweep/` | contents |
|---|---|
| `results.json` | all trials, the winner, its test figures and what it is compared with; see `_body` |
| `trials.csv` | the trials as a table |
| `tune/` | Tune's own records, from which a killed sweep goes on: trials that ended are not run again |

The sweep is no part of the run's plan: it has its own, and a finished run may get one, or another one in its place.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from lfiw_ray.config import PipelineConfig
from lfiw_ray.config_sweep import SweepConfig
from lfiw_ray.core.digest import digest
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.diagnose import form_of
from lfiw_ray.engine.experiment import concurrency, metrics_of, run_trials
from lfiw_ray.engine.fit_domain import fit_domain
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.errors import ConfigError
from lfiw_ray.store import stages
from lfiw_ray.studies import sweep_inputs, sweep_summary
from lfiw_ray.studies.sweep_inputs import Input
from lfiw_ray.studies.sweep_settings import Setting, grid_size, settings_of
from lfiw_ray.studies.sweep_space import Parts, Pools, Space, parts_of, pools_of, space_of
from lfiw_ray.studies.sweep_trial import ARMS, Outcome, Target, Work, trial

log = logging.getLogger(__name__)

NAME, TABLE = "results.json", "trials.csv"
FORMAT = 2  # raised when a sweep computes something else
_MIN_REAL_ROWS = 20  # of each part; fewer tell no settings apart


def sweep(run: Run, real: Real) -> dict[str, Any]:
    """Sweep, or go on with a sweep, unless it is done; returns the contents of results.json.

    Raises
    ------
    ConfigError
        The sweep does not fit the run, or the run has not scored its pool.
    WorkerError
        A trial failed for good; names its setting.
    """
    config, seed = run.config.sweep, run.config.seed
    pools = pools_of(run.config.generate.num_samples, config.num_validation_pools, config.num_test_pools)
    extractor = _extractor(run.config)
    parts = parts_of(len(real.splits.evaluation), seed)
    _check_sizes(config, parts, pools)
    inputs = sweep_inputs.inputs_of(run, real, config.inputs)
    folder, plan = run.folder("sweep"), _plan(run, inputs, extractor)
    if (done := stages.finished(folder, plan)) is not None:
        return done
    for one in inputs:
        sweep_inputs.prepare(run, real, one)
    if extractor == "domain":
        fit_domain(run, real)
    x, x_train = real.share(real.x("evaluation"), real.x("evaluation")[parts.train])
    space = space_of(run, extractor, x, parts)
    scored = {one.name: sweep_inputs.scored(one, x_train, f"thirds by seed {seed}") for one in inputs}
    work = Work(seed, config.metric, pools.rows, space.table, scored, run.table("weights"), form_of(run))
    settings = settings_of(config, seed)
    rows = run_settings(config, work, settings, pools.validation, space.validation, plan, folder.child("tune").url)
    body = _body(run, work, settings, rows, (parts, pools, space))
    files = {NAME: json.dumps(body, indent=1, allow_nan=False).encode(), TABLE: sweep_summary.as_csv(rows)}
    return stages.finish(folder, plan, files, body)


def _plan(run: Run, inputs: Sequence[Input], extractor: str) -> str:
    before = [run.plans["diagnostics"], *(one.run.plans[one.weights] for one in inputs)]
    before += [run.plans["domain"]] if extractor == "domain" else []
    fields = {"sweep": run.config.sweep.own_plan(), "dtype": run.config.evaluate.feature_dtype}
    return digest({"stage": "sweep", "format": FORMAT, "before": before, **fields})


def _extractor(config: PipelineConfig) -> str:
    known, wanted = config.evaluate.extractors, config.sweep.extractor
    if wanted is not None and wanted not in known:
        raise ConfigError(f"sweep.extractor: {wanted} is none of evaluate.extractors, {', '.join(known)}")
    return wanted or known[0]


def _check_sizes(config: SweepConfig, parts: Parts, pools: Pools) -> None:
    if min(len(part) for part in parts) < _MIN_REAL_ROWS:
        raise ConfigError(
            f"sweep: {sum(len(part) for part in parts)} real evaluation rows are too few for three parts of at least "
            f"{_MIN_REAL_ROWS}; leave more rows to the evaluation (data.*_fraction)"
        )
    count = len(pools.validation) + len(pools.test)
    if max(config.ks) > pools.rows:
        raise ConfigError(
            f"sweep.ks: {max(config.ks):,} rows are more than each of the {count} disjoint pools has ({pools.rows:,}); "
            "lower k, use fewer pools (sweep.num_validation_pools, sweep.num_test_pools), or generate more samples"
        )


def run_settings(
    config: SweepConfig,
    work: Work,
    settings: list[Setting],
    starts: list[int],
    target: Any,
    plan: str,
    storage_url: str,
) -> list[dict[str, Any]]:
    """Run a trial for each setting, or those that are missing; a row of figures for each (`sweep_summary.rows_of`).

    Parameters
    ----------
    starts : first sample ids of the pools that compare.
    target : reference to the real rows that compare.
    plan : names the experiment, so it must depend on all that decides the result.
    storage_url : absolute folder or URL that all nodes can write.
    """
    options: dict[str, Any] = {"max_concurrent_trials": concurrency(config.max_concurrent)}
    if config.scheduler == "asha":
        asha = ASHAScheduler("pools", "upper", "min", len(starts), config.grace_pools, reduction_factor=2)
        options["scheduler"] = asha
    log.info("sweep: %d settings, %d at a time", len(settings), options["max_concurrent_trials"])
    # The target travels inside a list: Tune would copy a bare reference's value into every trial's parameters.
    given = tune.with_parameters(trial, work=work, settings=settings, starts=starts, target=[target])
    space = {"trial": tune.grid_search(list(range(len(settings))))}
    with unwrapped("sweep"):
        grid = run_trials(tune.with_resources(given, {"cpu": 1}), space, options, f"sweep-{plan}", storage_url)
    reports = metrics_of(grid, "sweep", lambda one: f"({settings[one['trial']].name})", ("trial", "pools", "values"))
    return sweep_summary.rows_of(settings, reports, len(starts))


def _body(
    run: Run, work: Work, settings: list[Setting], rows: list[dict[str, Any]], about: tuple[Parts, Pools, Space]
) -> dict[str, Any]:
    """Contents of results.json: what was compared, every trial, the winner, and its comparisons.

    `validation` and `test` hold {"arms", "gains"} of the winner, the run's own weights and raw samples at the winner's
    k and scheme (`sweep_summary.compared`); those of `validation` are biased towards the winner.
    """
    parts, pools, space = about
    config, winner = run.config.sweep, sweep_summary.winner_of(rows)
    best = settings[winner]
    test = _compared(work, best, pools.test, space.test)
    return {
        "sweep": config.own_plan(),
        "metric": config.metric,
        "extractor": {name: space.description[name] for name in ("name", "num_features", "weights_sha256")},
        "num_trials": len(rows),
        "num_stopped": sum(row["stopped"] for row in rows),
        "grid_size": grid_size(config),
        "num_real_rows": {name: len(part) for name, part in parts._asdict().items()},
        "num_calibration_rows": {"real": len(parts.train), "generated": run.fit_rows.tuning},
        "pool_rows": pools.rows,
        "num_validation_pools": len(pools.validation),
        "num_test_pools": len(pools.test),
        "trials": rows,
        "winner": winner,
        "own_form": work.own_form._replace(smoothing=None).to_json(),
        "validation": _compared(work, best, pools.validation, space.validation),
        "test": test,
        "verdict": sweep_summary.verdict(config.metric, len(rows), best, test),
    }


def _compared(work: Work, setting: Setting, starts: list[int], target: Any) -> dict[str, Any]:
    with unwrapped("sweep: comparing the winner"):
        found = ray.get([_pool.remote(work, setting, start, target) for start in starts])
    return sweep_summary.compared({arm: [pool[arm] for pool in found] for arm in ARMS})


@ray.remote
def _pool(work: Work, setting: Setting, start: int, target: Target) -> dict[str, Outcome]:
    return {arm: measure(work, setting, start, target) for arm, measure in ARMS.items()}
