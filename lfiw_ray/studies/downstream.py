"""Stage: the semantic-loss study on a run's own samples (see `semantic`).

The generated arms draw from equally many rows: the pool's first ones, and as many draws of SIR.
"""

import json
from typing import Any

import numpy as np

from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.resample import read_selection
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.store import stages
from lfiw_ray.studies.semantic import DownstreamData, sweep

NAME = "results.json"
_ROWS_PER_WANTED = 2  # rows that an arm's repeats draw from, for each that one repeat uses


def downstream(run: Run, real: Real) -> dict[str, Any]:
    """Run the sweep, unless it is done; returns the contents of results.json."""
    folder, plan, config = run.folder("downstream"), run.plans["downstream"], run.config.downstream
    if (done := stages.finished(folder, plan)) is not None:
        return done
    data = DownstreamData(
        labelled_x=real.x("classifier"),
        labelled_y=real.labels("classifier"),
        test_x=real.x("evaluation"),
        test_y=real.labels("evaluation"),
        unlabelled=_unlabelled(run) | {"real": real.x("generator")},
    )
    with unwrapped("downstream"):
        found = sweep(config, run.config.seed, plan, folder.child("tune").url, data, run.config.num_gpus)
    body = _for_readers(found)
    return stages.finish(folder, plan, {NAME: json.dumps(body, indent=1, allow_nan=False).encode()}, body)


def _unlabelled(run: Run) -> dict[str, np.ndarray]:
    samples, limit = run.table("samples"), _ROWS_PER_WANTED * run.config.downstream.num_unlabelled
    selection = read_selection(run, "sir" if "sir" in run.config.resample.schemes else run.config.resample.schemes[0])
    draws = np.repeat(selection.sample_ids, selection.multiplicity)
    size = min(limit, len(draws))
    draws = draws[np.linspace(0, len(draws) - 1, size).astype(np.int64)]
    distinct, where = np.unique(draws, return_inverse=True)
    return {
        "raw": gather_images(samples, np.arange(size, dtype=np.int64)),
        "resampled": gather_images(samples, distinct)[where],
    }


def _for_readers(found: dict[str, Any]) -> dict[str, Any]:
    """The sweep's result under the names that the report uses."""
    arms = {
        arm: {"mean": a["accuracy"], "se": a["accuracy_se"], "values": a["accuracies"]}
        for arm, a in found["arms"].items()
    }
    differences = [
        {
            "arm": d["arm"],
            "against": d["baseline"],
            "mean": d["mean"],
            "se": d["se"],
            "low": d["interval"][0],
            "high": d["interval"][1],
        }
        for d in found["differences"]
    ]
    numbers = {name: found[name] for name in ("num_labels", "num_unlabelled", "num_updates", "num_test_rows")}
    return {
        **numbers,
        "num_seeds": found["num_repeats"],
        "arms": arms,
        "differences": differences,
        "verdict": _verdict(found),
    }


def _verdict(found: dict[str, Any]) -> str:
    """Resampled against raw samples, and against no samples at all."""
    sentences = {(d["arm"], d["baseline"]): d["sentence"] for d in found["differences"]}
    return "; ".join(sentences[pair] for pair in (("resampled", "raw"), ("resampled", "labels")))
