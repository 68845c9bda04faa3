"""The connection to Ray: the cluster a job was submitted to, or a local one when there is none."""

import json
import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.state import state  # the one place that may know what an autoscaler can add
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import RayError, RayTaskError
from ray.experimental.internal_kv import _internal_kv_get

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.local_ray import local_ray
from lfiw_ray.errors import ConfigError, LfiwError, WorkerError

log = logging.getLogger(__name__)

# glibc returns large freed blocks to the system and takes them back page by page, above all in the thread that Ray
# Train gives a training loop: a sixth of the time of a step whose activations are tens of megabytes.  Workers keep up
# to a gigabyte of freed memory instead (mallopt(3)); other C libraries ignore the names.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


@contextmanager
def connected(config: PipelineConfig) -> Iterator[None]:
    """Ray for the length of a job.

    Raises
    ------
    ConfigError
        When the cluster has not the GPUs that each worker is to hold.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        started = not ray.is_initialized()
        options = {"logging_level": logging.WARNING, "log_to_driver": False, "runtime_env": worker_environment()}
        with local_ray(include_dashboard=config.dashboard, **options) if started else nullcontext():
            if started:
                logging.getLogger("ray.data").setLevel(logging.ERROR)
            _log_resources()
            check_gpus(config.num_gpus, capacity("GPU"))
            yield


def worker_environment() -> dict[str, dict[str, str]]:
    """Ray's runtime environment of all workers of a job; a variable that is set already stays as it is."""
    return {"env_vars": {name: os.environ.get(name, value) for name, value in _ALLOCATOR.items()}}


def _log_resources() -> None:
    resources, free = ray.cluster_resources(), ray.available_resources()
    used = resources.get("CPU", 0) - free.get("CPU", 0)  # by other jobs, or by this one's entry point
    where = os.environ.get("RAY_ADDRESS") or ray.get_runtime_context().gcs_address
    log.info(
        "Ray %s at %s: %d node(s), %g CPUs%s, %g GPUs%s",
        ray.__version__,
        where,
        len([n for n in ray.nodes() if n["Alive"]]),
        resources.get("CPU", 0),
        f" ({used:g} in use)" if used else "",
        resources.get("GPU", 0),
        "; more on demand" if math.isinf(capacity("CPU")) else "",
    )


def present(kind: str) -> float:
    """CPUs or GPUs that the cluster has now."""
    return float(ray.cluster_resources().get(kind, 0.0))


def capacity(kind: str) -> float:
    """CPUs or GPUs that the cluster has, or can grow to; infinite where an autoscaler runs that tells no limit.

    Ray has a place for the limits, which no autoscaler of Ray 2.60 writes; what one cannot add is then waited for
    until the pool's time is over.
    """
    limits = state.get_max_resources_from_cluster_config()
    if limits is None:
        return math.inf if _grows() else present(kind)
    return max(present(kind), float(limits.get(kind, 0.0)))


def _grows() -> bool:
    """Whether an autoscaler runs.

    The second version runs only where it was asked for.  The first always does, and where it cannot add nodes it calls
    each node a type of its own.
    """
    if is_autoscaler_v2(fetch_from_server=True):
        return True
    status = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    types = status.get("autoscaler_report", {}).get("node_type_mapping") or {}
    return any(kind != f"node_{node}" for node, kind in types.items())


def check_gpus(wanted: float, found: float) -> None:
    """Refuse GPUs that are not there: Ray would wait for them for ever."""
    if wanted > found:
        raise ConfigError(
            f"num_gpus: each worker is to hold {wanted:g} GPU(s), the cluster has {found:g}; use --num-gpus=0"
        )


@contextmanager
def unwrapped(what: str) -> Iterator[None]:
    """Turn Ray's errors into ours: an expected failure of a worker as itself, anything else as WorkerError."""
    try:
        yield
    except RayError as err:
        ours = expected_cause(err)
        if ours is not None:
            raise ours from err
        raise WorkerError(f"{what} failed for good: {_last_line(err)}") from err


def expected_cause(err: BaseException) -> LfiwError | None:
    """The LfiwError at the bottom of a chain of Ray's wrappers, if there is one."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [err]
    while todo:
        link = todo.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        if isinstance(link, LfiwError) and not isinstance(link, RayTaskError):
            return link
        todo += [link.__cause__, link.__context__, getattr(link, "cause", None), getattr(link, "error", None)]
        failures = getattr(link, "worker_failures", None)
        todo += list(failures.values()) if isinstance(failures, dict) else []
    return None


def _last_line(err: BaseException) -> str:
    lines = [line for line in str(err).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(err).__name__
