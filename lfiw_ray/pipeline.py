"""The whole run, stage after stage, each skipped when its output is complete for the same plan."""

import logging
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine import beside, cost, metrics
from lfiw_ray.engine.code_length import measure_code_length
from lfiw_ray.engine.diagnose import diagnose, form_of, kept_blocks
from lfiw_ray.engine.evaluate import evaluate
from lfiw_ray.engine.fill_pool import fill_fit_samples, fill_pool, fill_training_rows, needs_training_rows
from lfiw_ray.engine.fit_classifier import fit_classifier
from lfiw_ray.engine.fit_domain import fit_domain
from lfiw_ray.engine.fit_generator import fit_generator
from lfiw_ray.engine.gather import gather
from lfiw_ray.engine.resample import resample
from lfiw_ray.engine.run import Real, Run, prepare
from lfiw_ray.engine.watch import Watch
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.registry import CODE_LENGTHS
from lfiw_ray.report.collect import collect
from lfiw_ray.report.page import render
from lfiw_ray.store import runs
from lfiw_ray.store.folder import Folder
from lfiw_ray.studies.downstream import downstream
from lfiw_ray.studies.evaluation_curves import evaluation_curves
from lfiw_ray.studies.run import run_studies

log = logging.getLogger(__name__)
T = TypeVar("T")

PACKAGES = ("lfiw-ray", "ray", "torch", "pyarrow", "numpy", "torch-fidelity", "s3fs")


class Weighed(NamedTuple):
    """Small results of the stages up to the weights; no `code_length` of a generator without a likelihood."""

    code_length: dict[str, Any] | None
    calibration: dict[str, Any]
    diagnostics: dict[str, Any]


class Results(NamedTuple):
    """Small results of the stages, and where the page is."""

    weighed: Weighed
    evaluation: dict[str, Any]
    downstream: dict[str, Any] | None
    report_url: str


def open_run(config: PipelineConfig) -> tuple[Run, Real]:
    """Load the data, lay out the run and write run.json, or check that the folder is of the same plan."""
    _refuse_vanishing_folder(config.run)
    run, real = prepare(config)
    folder = Folder(run.url)
    record = {"config": config.model_dump(), "versions": versions(), "git_commit": git_commit(), "seed": config.seed}
    runs.open_run(folder, config.planned(), run.plans, record, free=beside.STAGES)
    folder.check_writable()
    run = beside.place(run)
    if run.places:
        log.info("the run has another evaluation; this one lies in %s", run.folder("evaluation").url)
    return run, real


def _refuse_vanishing_folder(url: str) -> None:
    """A submitted job works in an unpacked copy of its working directory, which is removed when it ends."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and Folder(url).is_local and not url.startswith(("/", "~", "file:")):
        raise ConfigError(
            f"run: {url} is relative, and a submitted job's folder is removed; give an absolute path or a URL"
        )


def run_to_weights(run: Run, real: Real) -> Weighed:
    """The stages up to the diagnosed weights, on the connected cluster."""
    stage = _Stages(run)
    stage("generator", lambda: fit_generator(run, real))
    bits = None
    if run.config.generator.model in CODE_LENGTHS:
        bits = stage("code_length", lambda: measure_code_length(run, real))
    stage("fit_samples", lambda: fill_fit_samples(run))
    if real.data.labels is None:
        log.info("the data have no labels: the domain extractor and the downstream study are left out")
    else:
        stage("domain", lambda: fit_domain(run, real))
    if needs_training_rows(run):
        stage("training rows", lambda: fill_training_rows(run, real))
    calibration = stage("classifier", lambda: fit_classifier(run, real))
    if run.config.evaluate.naive:
        stage("naive_classifier", lambda: fit_classifier(run, real, "naive_classifier"))
    stage("samples and weights", lambda: fill_pool(run))
    found = stage("diagnostics", lambda: diagnose(run))
    metrics.show_weights(metrics.USED, found["chosen"]["n"], found["chosen"]["ess"], found["chosen"]["k_hat"])
    return Weighed(bits, calibration, found)


def run_pipeline(run: Run, real: Real) -> Results:
    """All stages, on the connected cluster."""
    for line in cost.note_estimate(run):
        log.info("estimated: %s", line)
    stage = _Stages(run)
    weighed = run_to_weights(run, real)
    stage("selection", lambda: resample(run, form_of(run).apply, kept_blocks(run)))
    stage("resampled", lambda: gather(run))
    evaluation = stage("evaluation", lambda: evaluate(run, real, form_of(run)))
    stage("curves", lambda: evaluation_curves(run, real, form_of(run)))
    trained = stage("downstream", lambda: downstream(run, real)) if real.data.labels is not None else None
    if run.config.studies.names:
        stage("studies", lambda: run_studies(run, run.config.studies.names))
    url = stage("report", lambda: write_report(run, real))
    return Results(weighed, evaluation, trained, url)


def write_report(run: Run, real: Real) -> str:
    """Write the page from what the stages left in the run folder; returns its address."""
    folder = run.folder("report")
    folder.write("index.html", render(collect(run, real)).encode())
    return f"{folder.url}/index.html"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that carry the work."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def git_commit() -> str | None:
    """Commit of the checkout that the package runs from; None when it is not one."""
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


class _Stages:
    """Announces each stage and keeps its seconds."""

    def __init__(self, run: Run):
        self._folder = Folder(run.url)

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        log.info("== %s", name)
        with self._timed(name):
            return work()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        with Watch(name) as watch:
            yield
        cost.add(self._folder, name, watch)
        log.info("   %s: %.1f s", name, watch.seconds)
