"""Results of the paper's table as `studies.table1.study` returns them, made up: numbers that a test knows."""

from typing import Any

from lfiw_ray.engine.measure import over_repeats
from lfiw_ray.studies import table1_arms
from lfiw_ray.studies.table1_published import published
from lfiw_ray.studies.table1_verdict import METRICS, differences, sentence

NUM_ROWS, POOL_ROWS, NUM_REPEATS = 1_000, 4_000, 10
SHIFT = {  # of FID from raw's 50, which differs by 0.1 from pool to pool while the shift differs by less
    "lfiw": 30.0,
    "weighted": -10.0,
    "clipped": 25.0,
    "psis": 12.0,
    "sir": -15.0,
    "gumbel": -5.0,
    "gumbel_ht": -14.0,
    "drs": -6.0,
    "obrs": -8.0,
    "mh": -12.0,
    "uniform": 0.0,
    "top_k": 40.0,
    "reversed": 90.0,
}
ESS = {"lfiw": 12.0, "clipped": 20.0, "psis": 40.0, "weighted": 300.0, "gumbel_ht": 400.0}
DISTINCT = {"sir": 700.0}
K_HAT = {"lfiw": 1.25, "clipped": 1.25, "psis": 1.1, "weighted": 0.4, "gumbel_ht": 0.3}


def arm(name: str) -> dict[str, Any]:
    """Figures of an arm over the pools; those of `uniform` go up and down about raw's."""
    pools = []
    for repeat in range(NUM_REPEATS):
        wave = 0.5 * (-1) ** repeat if name == "uniform" else 0.01 * (repeat % 3 - 1)
        fid = 50 + 0.1 * repeat + SHIFT.get(name, 0.0) + (wave if name != "raw" else 0.0)
        figures = {"fid": fid, "kid": fid / 500, "precision": 0.7, "recall": 0.4, "inception_score": 5 + fid / 100}
        counts = {"ess": ESS.get(name, 1000.0), "distinct": DISTINCT.get(name, 1000.0)}
        pools.append(figures | counts)
    return over_repeats(pools) | {"k_hat": K_HAT.get(name)}


def table(protocol: str = "paper", extractor: str = "inception-v3-compat") -> dict[str, Any]:
    """One table with its differences and verdicts."""
    made: dict[str, Any] = {
        "protocol": protocol,
        "num_rows": NUM_ROWS,
        "num_repeats": NUM_REPEATS,
        "pool_rows": POOL_ROWS,
        "reference": {"label": "published test rows", "num_rows": NUM_ROWS},
        "extractor": extractor,
        "num_features": 2048,
        "weights_sha256": "ab" * 32,
        "inception_score_note": None,
        "floor": {"fid": 10.3, "kid": 0.0001, "precision": 0.8, "recall": 0.8, "inception_score": 9.0},
        "arms": {name: arm(name) for name in table1_arms.NAMES},
        "published": published("cifar10", "sngan", protocol),
    }
    made["differences"] = {metric: differences(made["arms"], metric) for metric in METRICS}
    return made | {"verdicts": {metric: sentence(made, about(), metric) for metric in METRICS}}


def about() -> dict[str, Any]:
    """What the arms are, at alpha 0.5."""
    return {name: found._asdict() for name, found in table1_arms.about(0.5, 1.0).items()}


def example(*tables: dict[str, Any]) -> dict[str, Any]:
    """A generator with such tables, as the job writes it."""
    weights = {"alpha": 0.5, "auto": True, "ess_fraction": 0.3, "k_hat": 0.45, "passed": True}
    generator = {
        "name": "cifar10_sngan_small",
        "data": "cifar10",
        "generator": "sngan",
        "seed": 0,
        "run_url": "runs/table1/cifar10_sngan_small",
        "plans": {"weights": "aa", "diagnostics": "bb"},
        "weights": weights,
        "arms": about(),
        "tables": list(tables) or [table()],
    }
    return {"label": "Small: fewer rows than the paper's", "generators": [generator]}
