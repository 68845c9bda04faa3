"""The paper's table: raw, weighted and chosen samples of a generator against real rows, over disjoint pools.

Two protocols.  `paper` (Grover et al. 2019, section 4.2): n samples against the published test rows, 10,000 of each.
`today`: n samples against the published training rows, 50,000 of each, which the generator and the classifier were
trained on.  Within a table all arms have the same n; numbers of different n are not comparable.

A repeat is a pool of its own, and a task of its own: it chooses the rows of all arms of both protocols, embeds their
union once, measures, and keeps its numbers as a finished stage, so that a later call computes none of it again:

    <run>/table1/<plan>/reference-<protocol>/   features of the real rows, and the floor that other real rows set
    <run>/table1/<plan>/repeat-03/              figures of every arm of that pool, per protocol

The plan holds the extractor, the sizes and the plans of the weights; that of another choice lies beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import ray

from lfiw_ray.core.digest import digest
from lfiw_ray.engine import features
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.diagnose import form_of
from lfiw_ray.engine.measure import Options, Reference, measure, over_repeats, reference_of
from lfiw_ray.engine.read import gather_images, read_log_w
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.tables import features_table, from_parquet, to_parquet, vectors_of
from lfiw_ray.studies import table1_arms
from lfiw_ray.studies.table1_published import published
from lfiw_ray.studies.table1_real import RealRows, real_rows
from lfiw_ray.studies.table1_verdict import METRICS, differences, mean_k_hat, sentence

FORMAT = 1  # raised when the study computes something else


class Protocol(NamedTuple):
    """n samples against n real rows, of the published `test` rows or of the `train` rows."""

    name: str
    num_rows: int
    reference: str


class Sizes(NamedTuple):
    """How much work, and the lower clip of the clipped arm in units of the mean weight."""

    protocols: tuple[Protocol, ...]
    num_repeats: int = 10
    beta: float = 1.0


SMALL = Sizes((Protocol("paper", 1_000, "test"), Protocol("today", 2_000, "train")))
FULL = Sizes((Protocol("paper", 10_000, "test"), Protocol("today", 50_000, "train")))


class Job(NamedTuple):
    """What the tasks of one generator and one extractor need to know."""

    run: Run
    extractor: str
    sizes: Sizes
    alpha: float
    plan: str

    def folder(self, name: str) -> Folder:
        """Folder of a reference or of a repeat."""
        return self.run.folder("table1").child(self.plan).child(name)

    @property
    def pool_rows(self) -> int:
        """Rows of each of the disjoint pools."""
        return self.run.config.generate.num_samples // self.sizes.num_repeats


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
        job = Job(run, name, sizes, form.alpha, _plan(run, name, sizes))
        _check_pool(job)
        tables += _tables(job, real, rows, about)
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


def _plan(run: Run, extractor: str, sizes: Sizes) -> str:
    before = ["diagnostics", *(["domain"] if extractor == "domain" else [])]
    fields = {"extractor": extractor, "neighbours": run.config.evaluate.num_neighbours, "sizes": list(sizes)}
    return digest({"study": "table1", "format": FORMAT, "before": [run.plans[name] for name in before], **fields})


def _diagnostics(run: Run) -> dict[str, Any]:
    found = stages.finished(run.folder("diagnostics"), run.plans["diagnostics"])
    assert found is not None  # the form was read from it
    chosen = {name: found["chosen"][name] for name in ("ess_fraction", "k_hat")}
    return {**{k: found["alpha"][k] for k in ("alpha", "auto")}, **chosen, "passed": found["verdict"]["passed"]}


def _check_pool(job: Job) -> None:
    most = max(protocol.num_rows for protocol in job.sizes.protocols)
    if job.pool_rows < most:
        raise ConfigError(
            f"generate.num_samples: {job.sizes.num_repeats} disjoint pools of {job.run.config.generate.num_samples:,} "
            f"samples have {job.pool_rows:,} rows each, but an arm has {most:,}; raise it, or lower --num-rows or "
            "--num-repeats"
        )


def _tables(job: Job, real: Real, rows: Mapping[str, RealRows], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Both protocols in one feature space; only repeats that are not finished are computed."""
    protocols = job.sizes.protocols
    pending = [r for r in range(job.sizes.num_repeats) if stages.finished(_repeat_folder(job, r), job.plan) is None]
    options: dict[str, Any] = {"num_gpus": job.run.config.num_gpus}
    with unwrapped(f"table in {job.extractor}"):
        if pending or any(_floor(job, protocol) is None for protocol in protocols):
            found = [
                _reference.options(num_returns=2, **options).remote(job, p, *real.share(*rows[p.name][1:]))
                for p in protocols
            ]
            references, kept = zip(*found, strict=True)
            ray.get([*kept, *(_repeat.options(**options).remote(job, repeat, *references) for repeat in pending)])
    repeats = [stages.finished(_repeat_folder(job, r), job.plan) for r in range(job.sizes.num_repeats)]
    measured: list[dict[str, Any]] = [repeat for repeat in repeats if repeat is not None]
    return [_table(job, real, protocol, rows[protocol.name].label, measured, about) for protocol in protocols]


def _repeat_folder(job: Job, repeat: int) -> Folder:
    return job.folder(f"repeat-{repeat:02d}")


def _floor(job: Job, protocol: Protocol) -> dict[str, Any] | None:
    return stages.finished(job.folder(f"reference-{protocol.name}"), job.plan)


@ray.remote
def _reference(job: Job, protocol: Protocol, x: np.ndarray, others: np.ndarray) -> tuple[Reference, str]:
    """The real rows in the feature space, extracted once, kept, and read by later calls; and where they are kept."""
    folder = job.folder(f"reference-{protocol.name}")
    done = stages.finished(folder, job.plan)
    if done is not None:
        rows, floor = (_extracted(stages.read(folder, f"{name}.parquet")) for name in ("rows", "others"))
        return reference_of(done["description"], rows, floor, job.run.config.evaluate.num_neighbours), folder.url
    extractor = features.build_extractor(job.run, job.extractor)
    rows, floor = extractor.extract(x), extractor.extract(others)
    found = reference_of(extractor.describe(), rows, floor, job.run.config.evaluate.num_neighbours)
    files = {
        f"{name}.parquet": bytes(to_parquet(features_table(np.arange(len(part.features)), *part)))
        for name, part in (("rows", rows), ("others", floor))
    }
    lowest = measure(found, floor, None) if len(others) == len(x) else None  # sets are compared at equal N only
    stages.finish(folder, job.plan, files, {"description": found.description, "floor": lowest})
    return found, folder.url


def _extracted(data: bytes) -> Extracted:
    table = from_parquet(data)
    has = "probabilities" in table.column_names
    return Extracted(vectors_of(table, "features"), vectors_of(table, "probabilities") if has else None)


@ray.remote
def _repeat(job: Job, repeat: int, *references: Reference) -> None:
    """All arms of one pool under all protocols, kept as {protocol: {arm: {metric: value}}}."""
    run, start = job.run, repeat * job.pool_rows
    log_w = read_log_w(run.table("weights"), start, start + job.pool_rows)
    chosen = [
        table1_arms.rows_of(log_w, start, protocol.num_rows, job.alpha, job.sizes.beta, run.config.seed)
        for protocol in job.sizes.protocols
    ]
    wanted = np.unique(np.concatenate([rows.sample_ids for arms in chosen for rows in arms.values()]))
    embedded = _embedded(job, references[0].description, wanted)
    found: dict[str, Any] = {}
    for protocol, arms, reference in zip(job.sizes.protocols, chosen, references, strict=True):
        found[protocol.name] = {}
        for name, rows in arms.items():
            where = np.searchsorted(wanted, rows.sample_ids)
            probabilities = None if embedded.probabilities is None else embedded.probabilities[where]
            extracted = Extracted(embedded.features[where], probabilities)
            figures = measure(reference, extracted, rows.log_w, Options(run.config.seed, repeat))
            distinct = float(len(np.unique(rows.sample_ids)))
            found[protocol.name][name] = figures | {"distinct": distinct, "k_hat": table1_arms.k_hat_of(rows.log_w)}
    stages.finish(_repeat_folder(job, repeat), job.plan, {}, found)


def _embedded(job: Job, about: Mapping[str, Any], sample_ids: np.ndarray) -> Extracted:
    """Rows of the pool in the feature space: read where the classifier's table is of the same extractor.

    Raises
    ------
    ConfigError
        The extractor's weights are not those that the real rows were embedded with.
    """
    if features.pool_has(job.run, about):
        return features.gather_features(job.run.table("features/samples"), sample_ids)
    extractor = features.build_extractor(job.run, job.extractor)
    features.refuse_other_weights(extractor, about["weights_sha256"])
    return extractor.extract(gather_images(job.run.table("samples"), sample_ids))


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
