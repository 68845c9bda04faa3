"""What a run tells Prometheus: every metric with its name, unit and labels, exported by Ray.

Ray prefixes the names with `ray_` and exports one series for each process that reports: sum or take the maximum over
`WorkerId`.  Counters and the histogram are counted by the actors that do the work, and outlive them; gauges are set by
the driver, or by worker 0 of a training.  Ray forgets a gauge some 20 seconds after it was last set, so that it is set
again from a thread while its process lives, and is gone when that is gone.  The label `ray_job` is Ray's id of the job,
alike in all its processes.  Where no Ray runs (a unit test) nothing is counted and nothing fails.

Labels hold names of stages, steps and models only, never a path or a URL.
"""

import functools
import math
import threading
from typing import Any, Literal, NamedTuple

import ray
from ray.util import metrics

PREFIX = "ray_"  # what Ray puts before every name
JOB = "ray_job"
AGAIN_S = 5.0  # half of the time between two reports of a process
SHARD_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


class Metric(NamedTuple):
    """One metric: its kind, what it is with its unit, and its labels beside `ray_job`."""

    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...]


_POOL = ("work", "step")  # what a pool of actors works at, and which step of it

METRICS: dict[str, Metric] = {
    "lfiw_samples_generated_total": Metric("counter", "samples generated and committed, rows", ("work",)),
    "lfiw_samples_scored_total": Metric("counter", "samples scored and committed, rows", ("work",)),
    "lfiw_rows_total": Metric("counter", "rows committed by a step, rows", _POOL),
    "lfiw_written_bytes_total": Metric("counter", "bytes of committed shards, bytes", _POOL),
    "lfiw_shard_seconds": Metric("histogram", "time of a shard that was made, seconds", _POOL),
    "lfiw_failed_shards_total": Metric("counter", "shards that failed with a message, shards", _POOL),
    "lfiw_restarted_workers_total": Metric("counter", "actors started again after they were lost, actors", _POOL),
    "lfiw_shards_done": Metric("gauge", "shards through all steps in this call, shards", ("work",)),
    "lfiw_shards_wanted": Metric("gauge", "shards to do in this call, shards", ("work",)),
    "lfiw_rows_per_second": Metric("gauge", "rate of the slowest step since the start, rows a second", ("work",)),
    "lfiw_tasks_total": Metric("counter", "finished tasks over groups of shards, tasks", ("work",)),
    "lfiw_ess_rows": Metric("gauge", "effective sample size, rows", ("weights",)),
    "lfiw_weighed_rows": Metric("gauge", "rows that lfiw_ess_rows is of, rows", ("weights",)),
    "lfiw_k_hat": Metric("gauge", "Pareto shape of the tail of the weights, no unit", ("weights",)),
    "lfiw_training_loss": Metric("gauge", "mean loss of the last epoch, nats a row (or hinge)", ("model", "loss")),
    "lfiw_training_epoch": Metric("gauge", "finished epochs, epochs", ("model",)),
    "lfiw_training_epochs_wanted": Metric("gauge", "epochs at most, epochs", ("model",)),
    "lfiw_training_step": Metric("gauge", "finished steps, steps", ("model",)),
    "lfiw_stage_running": Metric("gauge", "1 while the stage runs, else 0", ("stage",)),
}

SO_FAR, USED = "so far, alpha 1", "used"
"""Values of the label `weights`: the rows scored so far as they are, and the whole pool in the form that is used."""


def count(name: str, amount: float, **labels: str) -> None:
    """Add to a counter."""
    if ray.is_initialized() and amount:
        _ray_metric(name).inc(amount, labels | _job())


def show(name: str, value: float | None, **labels: str) -> None:
    """Set a gauge; a value that does not exist or is not finite is not shown."""
    if ray.is_initialized() and value is not None and math.isfinite(value):
        _shown().show(name, value, labels | _job())


def observe(name: str, value: float, **labels: str) -> None:
    """Add an observation to a histogram."""
    if ray.is_initialized():
        _ray_metric(name).observe(value, labels | _job())


def show_weights(weights: str, rows: int, ess: float | None, k_hat: float | None) -> None:
    """Set the gauges of a set of weights: `SO_FAR` or `USED`."""
    show("lfiw_weighed_rows", rows, weights=weights)
    show("lfiw_ess_rows", ess, weights=weights)
    show("lfiw_k_hat", k_hat, weights=weights)


class _Shown:
    """The gauges of this process, set again and again."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._again, daemon=True).start()

    def show(self, name: str, value: float, labels: dict[str, str]) -> None:
        with self._lock:
            self._values[name, tuple(labels.items())] = value
        _ray_metric(name).set(value, labels)

    def _again(self) -> None:
        never = threading.Event()
        while not never.wait(AGAIN_S):
            with self._lock:
                for (name, labels), value in self._values.items():
                    if ray.is_initialized() and dict(labels)[JOB] == _job()[JOB]:
                        _ray_metric(name).set(value, dict(labels))

    def forget(self) -> None:
        with self._lock:
            self._values.clear()


def forget() -> None:
    """Set no gauge again; before Ray ends, for a call that comes too late would start another Ray."""
    if _shown.cache_info().currsize:
        _shown().forget()


@functools.cache
def _shown() -> _Shown:
    return _Shown()


def _job() -> dict[str, str]:
    return {JOB: ray.get_runtime_context().get_job_id()}


@functools.cache
def _ray_metric(name: str) -> Any:
    """The one object of this process."""
    metric = METRICS[name]
    labels = (*metric.labels, JOB)
    if metric.kind == "histogram":
        return metrics.Histogram(name, metric.about, boundaries=list(SHARD_SECONDS), tag_keys=labels)
    made = metrics.Counter if metric.kind == "counter" else metrics.Gauge
    return made(name, metric.about, tag_keys=labels)
