"""A made-up run for the report's tests: the pilot's kind of numbers, with seeded noise."""

from typing import Any

import numpy as np

from lfiw_ray.report.inputs import ReportInputs

METRIC_SCALE = {
    "fid": 1.0,
    "kid": 0.002,
    "inception_score": 0.02,
    "precision": 0.004,
    "recall": 0.004,
    "density": 0.006,
    "coverage": 0.005,
    "class_tv": 0.004,
    "ess": 20.0,
    "distinct": 6.0,
    "c2st_accuracy": 0.003,
    "kl_reduction_bins_nats": 0.01,
    "inception_score_splits": 0.02,
}
FLATTENED, REAL = "the generator times w^0.5, between generator and real", "the real distribution"
ARMS: dict[str, dict[str, Any]] = {
    "raw": {"label": "raw samples", "alpha": None, "weighted": False, "biased": True, "estimates": "the generator"},
    "weighted": {
        "label": "weighted",
        "alpha": 0.5,
        "weighted": True,
        "biased": True,
        "estimates": FLATTENED,
    },
    "sir": {"label": "SIR", "alpha": 0.5, "weighted": False, "biased": True, "estimates": "the flattened target"},
    "gumbel": {
        "label": "Gumbel-top-k, unweighted",
        "alpha": 0.5,
        "weighted": False,
        "biased": True,
        "estimates": "the heaviest rows without repeats; not a target distribution",
    },
    "gumbel_ht": {
        "label": "Gumbel-top-k, Horvitz–Thompson",
        "alpha": 0.5,
        "weighted": True,
        "biased": True,
        "estimates": FLATTENED,
    },
    "weighted_naive": {
        "label": "weighted",
        "alpha": 1.0,
        "weighted": True,
        "biased": False,
        "estimates": REAL,
    },
    "sir_naive": {
        "label": "SIR",
        "alpha": 1.0,
        "weighted": False,
        "biased": False,
        "estimates": REAL,
    },
}
RIVALS = {
    "pool": ("pool-wise SIR", "between pool and target", True),
    "mh": ("MH-GAN", "the end of a chain over few candidates", True),
    "drs": ("DRS", "a target whose heavy weights are levelled", True),
    "obrs": ("OBRS", "a target truncated from above", True),
    "top_k": ("heaviest", "the rows most like real ones", True),
    "uniform": ("uniform", "a random sample of the generator", False),
    "reversed": ("lightest", "the rows least like real ones", True),
}
for _name, (_label, _estimates, _biased) in RIVALS.items():
    _alpha = None if _name == "uniform" else 0.5
    ARMS[_name] = {"label": _label, "alpha": _alpha, "weighted": False, "biased": _biased, "estimates": _estimates}
for _name, _arm in ARMS.items():
    _arm["naive"], _arm["rival"] = _name.endswith("_naive"), _name in RIVALS
FID = {
    "raw": 57.9,
    "weighted": 21.4,
    "sir": 20.3,
    "gumbel": 26.0,
    "gumbel_ht": 21.1,
    "weighted_naive": 187.0,
    "sir_naive": 169.2,
    "pool": 22.6,
    "mh": 22.1,
    "drs": 24.8,
    "obrs": 21.9,
    "top_k": 35.0,
    "uniform": 57.6,
    "reversed": 242.0,
}
CLASSES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def images(n: int = 24, size: int = 28, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise, the hardest images to compress."""
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), dtype=np.uint8)


def estimate(rng: np.random.Generator, mean: float, scale: float) -> dict[str, Any]:
    values = rng.normal(mean, scale, 5)
    mean, se = float(values.mean()), float(values.std(ddof=1) / np.sqrt(5))
    return {"mean": mean, "se": se, "values": values.tolist(), "low": mean - 1.7 * se, "high": mean + 1.8 * se}


def extractor(rng: np.random.Generator, factor: float, note: str | None) -> dict[str, Any]:
    base = {"kid": 0.05, "inception_score": 5.1, "precision": 0.71, "recall": 0.42, "density": 0.8, "coverage": 0.6}
    base |= {"class_tv": 0.08, "ess": 3000.0, "distinct": 2600.0, "c2st_accuracy": 0.66}
    base |= {"kl_reduction_bins_nats": 0.4, "inception_score_splits": 5.0}
    arms: dict[str, Any] = {}
    for arm, fid in FID.items():
        means = base | {"fid": fid * factor}
        arms[arm] = {key: estimate(rng, means[key], scale) for key, scale in METRIC_SCALE.items()}
        if ARMS[arm]["weighted"]:
            arms[arm] |= {key: {"mean": None, "se": None, "values": []} for key in ("precision", "recall", "density")}
        if note:
            arms[arm]["inception_score"] = {"mean": None, "se": None, "values": []}
            del arms[arm]["inception_score_splits"]
        arms[arm]["rank_deficient"] = arm == "weighted_naive"
    real = {"fid": 1.04 * factor, "kid": 0.0002, "precision": 0.82, "recall": 0.81, "density": 1.0, "coverage": 0.97}
    real |= {"class_tv": 0.011, "ess": 3000.0, "distinct": 3000.0, "inception_score": None if note else 7.9}
    about = {"description": "Penultimate layer (64 d) of a label classifier.", "weights_sha256": "ab" * 32}
    about["num_features"] = 64
    return about | {"inception_score_note": note, "real": real, "arms": arms, "arm_order": list(FID)}


def improvement(space: dict[str, Any]) -> dict[str, Any]:
    raw, sir = space["arms"]["raw"]["fid"], space["arms"]["sir"]["fid"]
    se = float(np.hypot(raw["se"], sir["se"]))
    mean = raw["mean"] - sir["mean"]
    return {
        "metric": "fid",
        "raw": {"mean": raw["mean"], "se": raw["se"]},
        "resampled": {"mean": sir["mean"], "se": sir["se"]},
        "difference": {"mean": mean, "se": se, "z": mean / se},
    }


def evaluation(rng: np.random.Generator) -> dict[str, Any]:
    spaces = {"domain": extractor(rng, 1.0, None), "random": extractor(rng, 0.21, "random features have no classes")}
    return {
        "num_rows": 3000,
        "num_repeats": 5,
        "num_reference_rows": 3000,
        "reference": "held_out",
        "kl_reduction_nats": {"value": 1.9, "se": 0.02, "alpha": 0.5, "num_real_rows": 3000, "num_pool_rows": 40_960},
        "whole_pool": {},
        "extractors": spaces,
        "arms": ARMS,
        "improvement": {name: improvement(space) for name, space in spaces.items()},
    }


def calibration(rng: np.random.Generator) -> dict[str, Any]:
    predicted = np.linspace(0.02, 0.98, 12)

    def side(bend: float) -> dict[str, Any]:
        observed = np.clip(predicted + bend * np.sin(2 * np.pi * predicted) + rng.normal(0, 0.01, 12), 0, 1)
        rows = zip(predicted.tolist(), observed.tolist(), strict=True)
        bins = [{"predicted": p, "observed": o, "count": 166, "low": 0.9 * o, "high": 0.1 + 0.9 * o} for p, o in rows]
        numbers = {"log_loss_nats": 0.248 + abs(bend), "brier": 0.077, "ece": 0.012 + abs(bend), "z": 0.7 + 30 * bend}
        numbers |= {"auc": 0.958, "accuracy": 0.9, "mean_w_model": 0.93 - bend, "mean_w_model_se": 0.045}
        numbers |= {"mean_inverse_w_data": 1.11, "mean_inverse_w_data_se": 0.07}
        named = ("log_loss_nats", "brier", "ece", "auc", "accuracy", "mean_w_model", "mean_inverse_w_data")
        bands = {name: [0.93 * numbers[name], 1.06 * numbers[name]] for name in named}
        return numbers | {"tied": abs(bend) / 100, "bands": bands, "bins": bins}

    candidates = {"temperature": 0.2502, "platt": 0.2481, "beta": 0.2483, "isotonic": 0.2519}
    sides = {"before": side(-0.1), "after": side(0.0)}
    return {"kind": "platt", "candidates": candidates, "warnings": [], **sides}


def diagnostics() -> dict[str, Any]:
    chosen = {"n": 100_000, "mean_w": 0.871, "mean_w_se": 0.004, "ess": 24_710.4, "ess_fraction": 0.2471, "k_hat": 0.42}
    chosen |= {"max_share": 0.0004, "top1pct_share": 0.071, "perplexity": 47_210.0, "k_hat_note": None}
    naive = {"n": 100_000, "mean_w": 0.93, "mean_w_se": 0.09, "ess": 158.2, "ess_fraction": 0.001582, "k_hat": 0.93}
    naive |= {"max_share": 0.044, "top1pct_share": 0.62, "perplexity": 1_904.0, "k_hat_note": None}
    failed = {"passed": False, "reasons": ["ESS is 0.16 % of the rows, less than 15 %", "k_hat 0.93 exceeds 0.7"]}
    failed["advice"] = [
        "flatten: a smaller alpha",
        "train a better generator",
        "add noise to both sides of the classifier",
    ]
    passed = {"passed": True, "reasons": [], "advice": []}
    verdicts = {"verdict": passed, "verdict_naive": failed}
    return {"chosen": chosen, "naive": naive, **verdicts, "naive_is": "a classifier of clean pixels"}


def alpha_choice() -> dict[str, Any]:
    alphas = [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0]
    table = [
        {"alpha": a, "ess_fraction": float(np.exp(-5.6 * a * a)), "k_hat": 0.1 + 0.83 * a**1.4, "passed": a <= 0.5}
        for a in alphas
    ]
    return {"alpha": 0.5, "auto": True, "min_ess_fraction": 0.15, "max_k_hat": 0.7, "table": table}


def downstream(rng: np.random.Generator) -> dict[str, Any]:
    arms = {
        "labels only": estimate(rng, 0.741, 0.006),
        "+ raw samples": estimate(rng, 0.752, 0.006),
        "+ resampled": estimate(rng, 0.769, 0.005),
    }
    differences = [
        {"arm": "+ resampled", "against": "+ raw samples", "mean": 0.017, "se": 0.004, "low": 0.006, "high": 0.028},
        {"arm": "+ raw samples", "against": "labels only", "mean": 0.011, "se": 0.005, "low": -0.003, "high": 0.025},
    ]
    verdict = "Resampled images add 1.7 ± 0.4 points of accuracy to raw ones (5 seeds): a clear gain."
    counts = {"num_updates": 300, "num_labels": 200, "num_seeds": 5}
    return counts | {"arms": arms, "differences": differences, "verdict": verdict}


def training(rng: np.random.Generator) -> dict[str, Any]:
    step = list(range(20, 1001, 20))
    curve = np.exp(-np.array(step) / 180.0)
    held_out = [None if i % 5 else float(1450 + 700 * curve[i]) for i in range(50)]
    generator = {"step": step, "loss": (1430 + 720 * curve + rng.normal(0, 9, 50)).tolist(), "held_out": held_out}
    loss = (0.2 + 0.5 * curve + rng.normal(0, 0.01, 50)).tolist()
    return {"generator": generator, "classifier": {"step": step, "loss": loss, "held_out": None}}


def lorenz_curves(log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shares = np.linspace(0, 1, 101)
    curves = []
    for alpha in (0.5, 1.0):
        w = np.sort(np.exp(alpha * log_w))
        total = np.concatenate([[0], np.cumsum(w)]) / w.sum()
        curves.append(total[(shares * len(w)).astype(int)])
    return shares, curves[0], curves[1]


def example(**changes: Any) -> ReportInputs:
    """The example run, with fields replaced."""
    rng = np.random.default_rng(7)
    log_w = rng.normal(-2.2, 2.1, 20_000)
    counts, edges = np.histogram(log_w, 60)
    order = np.sort(log_w)
    shares = {arm: rng.dirichlet(np.full(10, 60.0)).tolist() for arm in FID}
    shares["sir_naive"] = [0.02, 0.0, 0.03, 0.05, 0.2, 0.01, 0.14, 0.05, 0.5, 0.0]
    inputs = ReportInputs(
        title="embedded, seed 0",
        created="2025-11-20 07:40 UTC",
        run_url="s3://bucket/runs/default",
        config_yaml="run: s3://bucket/runs/default\nseed: 0\nweights:\n  alpha: auto\n",
        versions={"lfiw-ray": "0.1.0", "python": "3.11.2", "torch": "2.13.0+cpu", "ray": "2.60.0"},
        seed=0,
        plans={"generator": "a1b2c3d4e5f60718", "classifier": "0718a1b2c3d4e5f6", "samples": "c3d4e5f60718a1b2"},
        git_commit="8d5f1d7c2b",
        stage_seconds={"generator": 61.2, "classifier": 48.4, "samples": 75.3, "evaluation": 33.0, "report": 2.1},
        real_x=images(seed=1),
        raw_x=images(seed=2),
        sir_x=images(seed=3),
        gumbel_x=images(seed=4),
        top_weight_x=images(seed=5),
        low_weight_x=images(seed=6),
        top_log_w=order[::-1][:24],
        low_log_w=order[:24],
        log_w_histogram=(edges, counts),
        lorenz=lorenz_curves(log_w),
        calibration=calibration(rng),
        alpha=alpha_choice(),
        diagnostics=diagnostics(),
        evaluation=evaluation(rng),
        class_histograms={"real": [0.1] * 10, **shares},
        class_names=CLASSES,
        downstream=downstream(rng),
        code_length={"metric": "bpd", "meaning": "exact", "mean_bpd": 3.21, "se_bpd": 0.04, "num_rows": 2048},
        training=training(rng),
        studies={},
    )
    return inputs._replace(**changes)
