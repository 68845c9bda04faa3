"""The paper's table: raw, weighted and chosen samples of a generator against real rows, over disjoint pools.

Two protocols.  `paper` (Grover et al. 2019, section 4.2): n samples against the published test rows, 10,000 of each.
`today`: n samples against the published training rows, 50,000 of each, which the generator and the classifier were
trained on.  Within a table all arms have the same n; numbers of different n are not comparable.

A repeat is a pool of its own, and a task of its own: it reads the features of the rows of all arms of both protocols
(`table1_features`), measures, and keeps its figures as a finished stage, so that a later call computes none of them
again (`table1_job` says where).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray

from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.diagnose import form_of
from lfiw_ray.engine.features import gather_features
from lfiw_ray.engine.measure import Options, Reference, measure, naming, over_repeats, reference_of
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Table
from lfiw_ray.studies import table1_arms, table1_features
from lfiw_ray.studies.table1_job import Job, Protocol, Sizes, job_of
from lfiw_ray.studies.table1_published import published
from lfiw_ray.studies.table1_real import RealRows, real_rows
from lfiw_ray.studies.table1_verdict import METRICS, differences, mean_k_hat, sentence


def study(run: Run, real: Real, sizes: Sizes, extractors: Sequence[str]) -> dict[str, Any]:
    """The tables of one generator, whose weights are diagnosed: one for each extractor and protocol.

    Returns
    -------
    dict of plain values: `data`, `generator`, `seed`, `run_url`, `plans` (of the weights); `weights` {"alpha", "auto",
    "ess_fraction", "k_hat", "passed"}; `arms` {name: {"label", "weighted", "alpha", "estimates"}}; `tables`, each
    {"protocol", "num_rows", "num_repeats", "pool_rows", "reference" {"label", "num_rows"}, "extractor",
    "num_features", "weights_sha256", "inception_score_note", "floor" {metric: value} or None, "arms" {name: {metric:
    {"mean", "se", "values"}, "k_hat"}}, "differences" {metric: {name: see table1_verdict}}, "verdicts" {metric:
    sentence}, "published" [rows of table1_published]}.

    Raises
    ------
    ConfigError
        There are not rows enough for the sizes.
    """
    rows = {protocol.name: real_rows(run, real, protocol.reference, protocol.num_rows) for protocol in sizes.protocols}
    form, found = form_of(run), _diagnostics(run)
    about = {name: arm._asdict() for name, arm in table1_arms.about(form.alpha, sizes.beta).items()}
    tables = []
    for name in extractors:
        tables += _tables(job_of(run, name, sizes, form.alpha), real, rows, about)
    return {
        "data": real.data.name,
        "generator": run.config.generator.model,
        "seed": run.config.seed,
        "run_url": run.url,
        "plans": {name: run.plans[name] for name in ("weights", "diagnostics")},
        "weights": found,
        "arms": about,
        "tables": tables,
    }


def _diagnostics(run: Run) -> dict[str, Any]:
    found = stages.finished(run.folder("diagnostics"), run.plans["diagnostics"])
    assert found is not None  # the form was read from it
    chosen = {name: found["chosen"][name] for name in ("ess_fraction", "k_hat")}
    return {**{k: found["alpha"][k] for k in ("alpha", "auto")}, **chosen, "passed": found["verdict"]["passed"]}


def _tables(job: Job, real: Real, rows: Mapping[str, RealRows], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Both protocols in one feature space; only repeats that are not finished are computed."""
    protocols = job.sizes.protocols
    pending = [r for r in range(job.sizes.num_repeats) if stages.finished(_repeat_folder(job, r), job.plan) is None]
    if pending or any(_floor(job, protocol) is None for protocol in protocols):
        _compute(job, real, rows, pending)
    repeats = [stages.finished(_repeat_folder(job, r), job.plan) for r in range(job.sizes.num_repeats)]
    measured: list[dict[str, Any]] = [repeat for repeat in repeats if repeat is not None]
    return [_table(job, real, protocol, rows[protocol.name].label, measured, about) for protocol in protocols]


def _repeat_folder(job: Job, repeat: int) -> Folder:
    return job.folder(f"repeat-{repeat:02d}")


def _floor(job: Job, protocol: Protocol) -> dict[str, Any] | None:
    return stages.finished(job.folder(f"reference-{protocol.name}"), job.plan)


def _compute(job: Job, real: Real, rows: Mapping[str, RealRows], pending: Sequence[int]) -> None:
    """The figures of the pools that have none yet, and the floors."""
    table1_features.choose(job)
    wanted = np.unique(np.concatenate([numbers for kind in rows.values() for numbers in (kind.rows, kind.others)]))
    about = table1_features.embed(job, real, wanted, pending)
    table = table1_features.real_table(job, len(wanted))
    with unwrapped(f"table in {job.extractor}"):
        found = [
            _reference.remote(job, p, about, table, *(np.searchsorted(wanted, numbers) for numbers in rows[p.name][1:]))
            for p in job.sizes.protocols
        ]
        references, kept = zip(*found, strict=True)
        ray.get([*kept, *(_repeat.remote(job, repeat, *references) for repeat in pending)])


@ray.remote(num_returns=2)
def _reference(
    job: Job, protocol: Protocol, about: dict[str, Any], table: Table, rows: np.ndarray, others: np.ndarray
) -> tuple[Reference, str]:
    """What all comparisons with the real rows (numbers within the table) share, and where their floor is kept."""
    compared, rest = (_real_features(table, numbers) for numbers in (rows, others))
    found = reference_of(about, compared, rest, job.run.config.evaluate.num_neighbours)
    folder = job.folder(f"reference-{protocol.name}")
    if stages.finished(folder, job.plan) is None:
        lowest = measure(found, rest, None) if len(others) == len(rows) else None  # sets are compared at equal N only
        stages.finish(folder, job.plan, {}, {"description": about, "floor": lowest})
    return found, folder.url


def _real_features(table: Table, rows: np.ndarray) -> Extracted:
    """Features of distinct rows, in their order."""
    order = np.argsort(rows)
    return _taken(gather_features(table, rows[order]), np.argsort(order))


def _taken(found: Extracted, where: np.ndarray) -> Extracted:
    probabilities = None if found.probabilities is None else found.probabilities[where]
    return Extracted(found.features[where], probabilities)


@ray.remote
def _repeat(job: Job, repeat: int, *references: Reference) -> None:
    """All arms of one pool under all protocols, kept as {protocol: {arm: {metric: value}}}."""
    chosen = table1_features.arms_of_pool(job, repeat)
    wanted = table1_features.distinct_ids(chosen)
    embedded = table1_features.pool_features(job, repeat, wanted)
    options = Options(job.run.config.seed, repeat)
    found: dict[str, Any] = {protocol: {} for protocol in chosen}
    for (protocol, arms), reference in zip(chosen.items(), references, strict=True):
        for name, rows in arms.items():
            extracted = _taken(embedded, np.searchsorted(wanted, rows.sample_ids))
            with naming(name, repeat, "a classifier with better calibration, or more rows (--num-rows)"):
                figures = measure(reference, extracted, rows.log_w, options)
            distinct = float(len(np.unique(rows.sample_ids)))
            found[protocol][name] = figures | {"distinct": distinct, "k_hat": table1_arms.k_hat_of(rows.log_w)}
    stages.finish(_repeat_folder(job, repeat), job.plan, {}, found)


def _table(
    job: Job, real: Real, protocol: Protocol, label: str, measured: list[dict[str, Any]], about: Mapping[str, Any]
) -> dict[str, Any]:
    """One table with its differences and verdicts."""
    kept = _floor(job, protocol)
    assert kept is not None
    description = kept["description"]
    table = {
        "protocol": protocol.name,
        "num_rows": protocol.num_rows,
        "num_repeats": job.sizes.num_repeats,
        "pool_rows": job.pool_rows,
        "reference": {"label": label, "num_rows": protocol.num_rows},
        "extractor": description["name"],
        "num_features": description["num_features"],
        "weights_sha256": description["weights_sha256"],
        "inception_score_note": description["no_probabilities"],
        "floor": kept["floor"],
        "arms": {name: _over_repeats([m[protocol.name][name] for m in measured]) for name in table1_arms.NAMES},
        "published": published(real.data.name, job.run.config.generator.model, protocol.name),
    }
    table["differences"] = {metric: differences(table["arms"], metric) for metric in METRICS}
    return table | {"verdicts": {metric: sentence(table, about, metric) for metric in METRICS}}


def _over_repeats(repeats: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = [{name: value for name, value in repeat.items() if name != "k_hat"} for repeat in repeats]
    return over_repeats(numbers) | {"k_hat": mean_k_hat([repeat["k_hat"] for repeat in repeats])}
