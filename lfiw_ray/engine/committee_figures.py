"""`calibration.json` of several classifiers together: what the weights that are used say of held-out rows.

A held-out row is judged by the mean log weight of the members of one fold, as a row of the pool is.  The real
held-out rows are held out from every fold; each is given to one fold only, and so are generated ones, so that no row
counts twice and standard errors are what they say.
"""

import json
from typing import Any

import numpy as np

from lfiw_ray.core.bootstrap import bands
from lfiw_ray.core.reliability import report
from lfiw_ray.engine.calibration_figures import figures_of
from lfiw_ray.engine.committee import CALIBRATION, committee_of, part_folder, part_name, parts_of, read_json
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.train import HISTORY
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder

HELD_OUT = "held_out_logits.json"


def finish_committee(run: Run, stage: str) -> dict[str, Any]:
    """Put the figures of all classifiers of a stage together and finish it; returns them.

    Its training history is the first classifier's.
    """
    config = run.classifier_config(stage)
    parts = parts_of(config)
    folders = [part_folder(run, stage, part) for part in parts]
    bodies = [read_json(folder, CALIBRATION) for folder in folders]
    names = [part_name(config, part) for part in parts]
    before, after, y = held_out_logits(run, stage)
    odds = bodies[0]["log_prior_odds"]
    sides = {"before": before, "after": after}
    body = {
        "calibration": {"kind": " and ".join(sorted({b["calibration"]["kind"] for b in bodies}))},
        "log_prior_odds": odds,
        "candidates": {
            kind: float(np.mean([b["candidates"][kind] for b in bodies])) for kind in bodies[0]["candidates"]
        },
        "warnings": [f"{name}: {text}" for name, b in zip(names, bodies, strict=True) for text in b["warnings"]],
        **{side: figures_of(report(z, y, odds), bands(z, y, odds, run.config.seed)) for side, z in sides.items()},
        "classifiers": [
            {"name": name, "calibration": b["calibration"], "log_loss_nats": b["after"]["log_loss_nats"]}
            for name, b in zip(names, bodies, strict=True)
        ],
    }
    files = {CALIBRATION: json.dumps(body, allow_nan=False).encode(), HISTORY: stages.read(folders[0], HISTORY)}
    return stages.finish(run.folder(stage), run.plans[stage], files, body["after"])


def held_out_logits(run: Run, stage: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits before and after calibration, means over the members, and y, of the rows that judge; (n,) float64."""
    committee = committee_of(run, stage)
    columns = []
    for fold, members in enumerate(committee):
        found = [read_json(Folder(m.url), HELD_OUT) for m in members]
        y = np.array(found[0]["y"])
        raw = [np.array(f["logits"]) for f in found]
        calibrated = [m.log_w(z) - m.log_prior_odds for m, z in zip(members, raw, strict=True)]
        number = np.where(y == 1, np.cumsum(y), np.cumsum(1 - y)).astype(np.int64) - 1  # within its class
        kept = number % len(committee) == fold
        columns.append([np.mean(z, axis=0)[kept] for z in (raw, calibrated)] + [y[kept]])
    before, after, y = (np.concatenate(part) for part in zip(*columns, strict=True))
    return before, after, y
