"""What the report is made of: plain values and small arrays, read from a run by the caller.

The page shows these and computes nothing but their formatting, so a number on it is a number of the run.
A quantity that does not exist is None or NaN, and shows as "n/a" with its reason.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class ReportInputs(NamedTuple):
    """Everything one page shows.

    Attributes
    ----------
    title, created, run_url, config_yaml, git_commit
        Text, shown as it is (escaped).
    versions, plans
        Package name to version; stage name to plan hash.
    stage_seconds
        Stage name to wall-clock seconds.
    real_x, raw_x, sir_x, gumbel_x, top_weight_x, low_weight_x
        uint8 (n, H, W, C) with C 1 or 3; n may differ and may be 0.
    top_log_w, low_log_w
        float (n,), nats: the log weight of each row of `top_weight_x` and `low_weight_x`.
    log_w_histogram
        (edges (B + 1,), nats; counts (B,)) of the pool's log weights before flattening.
    lorenz
        (share of rows, share of the weight at alpha, share of the naive weight), each (P,), rows
        sorted from the lightest to the heaviest.
    calibration
        {"kind", "candidates": {kind: log loss in nats}, "warnings": [sentence], "before": R, "after": R}, where R has
        "log_loss_nats", "brier", "ece", "z", "auc", "accuracy", "tied", "mean_w_model", "mean_inverse_w_data" (the
        last two also with "_se"), "bands": {figure: [low, high]} of all but "z" and "tied", and
        "bins": [{"predicted", "observed", "count", "low", "high"}].
    alpha
        {"alpha", "auto", "min_ess_fraction", "max_k_hat", "table": [{"alpha", "ess_fraction", "k_hat", "passed"}]}.
    diagnostics
        {"chosen": D, "naive": D, "verdict": V, "verdict_naive": V, "naive_is": what gave the naive weights}; D has
        "n", "mean_w", "mean_w_se", "ess",
        "ess_fraction", "k_hat", "k_hat_note" (optional: why there is no k_hat), "max_share", "top1pct_share" and
        "perplexity"; V has "passed", "reasons", "advice".
    evaluation
        {"num_rows", "num_repeats", "num_reference_rows", "extractors", "arms", "improvement"}.  An extractor has
        "description", "weights_sha256", "inception_score_note", "real": {metric: value},
        "arms": {arm: {metric: {"mean", "se", "values"}}} and "arm_order"; an arm has "label", "alpha" (None: no
        weights), "naive", "rival", "weighted", "estimates" and "biased"; an improvement, per extractor, has
        "metric", "raw", "resampled" and "difference": {"mean", "se", "z"}.
    class_histograms
        arm to the share of each class; "real", when there, is what the others are compared with.
    downstream
        None, or {"num_updates", "num_labels", "num_seeds", "arms": {arm: {"mean", "se", "values"}},
        "differences": [{"arm", "against", "mean", "se", "low", "high"}], "verdict"}; accuracies are shares in [0, 1].
    code_length
        None, or the generator's {"metric", "meaning", "mean_bpd", "se_bpd" (or None), "num_rows"} on test rows.
    training
        Name to T = {"step": [...], "loss": [...], "held_out": [...] or None}, in nats per row: the generator (hinge
        losses of both players, for an adversarial one) and the classifier; a step without a held-out loss has None.
    studies
        Study of known answer to its results, whose keys its docstring names; those that were run, none or more.
    sweep
        None, or the results of the sweep that lies in the run folder, whatever its settings (`studies.sweep`).
    expected_s, stage_money, currency
        Stage to estimated seconds, and to money in that currency, where they are known.
    stored_bytes
        Stage (of `plans`) to the bytes in its folder.
    curves
        None, or the results of `studies.evaluation_curves` and its images, uint8 (3 m, H, W, C).
    """

    title: str
    created: str
    run_url: str
    config_yaml: str
    versions: dict[str, str]
    seed: int
    plans: dict[str, str]
    git_commit: str | None
    stage_seconds: dict[str, float]
    real_x: np.ndarray
    raw_x: np.ndarray
    sir_x: np.ndarray
    gumbel_x: np.ndarray
    top_weight_x: np.ndarray
    low_weight_x: np.ndarray
    top_log_w: np.ndarray
    low_log_w: np.ndarray
    log_w_histogram: tuple[np.ndarray, np.ndarray]
    lorenz: tuple[np.ndarray, np.ndarray, np.ndarray]
    calibration: dict[str, Any]
    alpha: dict[str, Any]
    diagnostics: dict[str, Any]
    evaluation: dict[str, Any]
    class_histograms: dict[str, list[float]]
    class_names: list[str]
    downstream: dict[str, Any] | None
    code_length: dict[str, Any] | None
    training: dict[str, dict[str, Any]]
    studies: dict[str, dict[str, Any]]
    sweep: dict[str, Any] | None = None
    curves: tuple[dict[str, Any], np.ndarray] | None = None
    expected_s: Mapping[str, float] = {}
    stage_money: Mapping[str, float] = {}
    currency: str = ""
    stored_bytes: Mapping[str, int] = {}
