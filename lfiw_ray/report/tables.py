"""The other tables of the page as rows of cells: classes, weights, calibration; and what arms are called."""

from typing import Any

from lfiw_ray.report.cells import Cell, banded, cell, exact, is_number, short

RIVALS = "Rivals: other ways to choose rows of the same pool by the same weights"


def group_title(arm: dict[str, Any]) -> str:
    """Under which heading an arm stands."""
    if arm["rival"]:
        return RIVALS
    if arm["alpha"] is None:
        return "Without weights"
    if arm["naive"]:
        return f"Done naively, at alpha = {short(arm['alpha'])}"
    return f"alpha = {short(arm['alpha'])}, chosen for this run"


def colour_of(arm: dict[str, Any]) -> str:
    """The arm's colour in the figures."""
    if arm["rival"]:
        return "rival"
    if arm["alpha"] is None:
        return "raw"
    return "naive" if arm["naive"] else "chosen"


def arm_labels(about: dict[str, Any]) -> dict[str, str]:
    """Each arm's label with its alpha, unless the label names it."""
    plain_label = {arm: row["alpha"] is None or "alpha" in row["label"] for arm, row in about.items()}
    return {
        arm: row["label"] if plain_label[arm] else f"{row['label']}, alpha {short(row['alpha'])}"
        for arm, row in about.items()
    }


def class_table(
    shares: dict[str, list[float]], labels: dict[str, str], class_names: list[str]
) -> list[tuple[str, str, str]]:
    """Arm, its class most in excess of the real rows and its class most lacking; empty without real rows."""
    out = []
    for arm, row in shares.items():
        if arm == "real" or "real" not in shares:
            continue
        paired = zip(row, shares["real"], class_names, strict=True)
        gaps = [(100 * (share - real), name) for share, real, name in paired if is_number(share) and is_number(real)]
        most, least = (f"{name} {gap:+.1f}" for gap, name in (max(gaps), min(gaps))) if gaps else ("n/a", "n/a")
        out.append((labels.get(arm, arm), most, least))
    return out


def weight_table(diagnostics: dict[str, Any]) -> list[tuple[str, Cell, Cell]]:
    """Quantity, chosen weights, naive weights."""
    named = (
        ("rows in the pool", "n"),
        ("effective sample size (ESS)", "ess"),
        ("ESS / N", "ess_fraction"),
        ("k_hat, Pareto shape of the tail", "k_hat"),
        ("share of the largest weight", "max_share"),
        ("share of the top 1 %", "top1pct_share"),
        ("perplexity (rows, by entropy)", "perplexity"),
        ("mean of w^alpha", "mean_w"),
    )
    shares = ("ess_fraction", "max_share", "top1pct_share")
    out = []
    for label, key in named:
        pair = []
        for which in ("chosen", "naive"):
            value, se = diagnostics[which][key], diagnostics[which].get(f"{key}_se")
            why = diagnostics[which].get(f"{key}_note") or "not computed"
            shown = cell(value, se, why) if key == "mean_w" else exact(value, why)
            pair.append(shown._replace(text=f"{100 * value:.3g} %") if key in shares and not shown.note else shown)
        out.append((label, pair[0], pair[1]))
    return out


def calibration_table(calibration: dict[str, Any]) -> list[tuple[str, str, Cell, Cell]]:
    """Quantity, what is wanted, before and after calibration, with intervals where there are any."""
    named = (
        ("log loss (nats)", "lower", "log_loss_nats"),
        ("Brier score", "lower", "brier"),
        ("calibration error (ECE)", "0", "ece"),
        ("Z statistic", "within ±2", "z"),
        ("AUC", "", "auc"),
        ("accuracy", "", "accuracy"),
        ("rows that share their odds", "0", "tied"),
        ("mean of w over generated rows", "1", "mean_w_model"),
        ("mean of 1/w over real rows", "1", "mean_inverse_w_data"),
    )
    before, after = calibration["before"], calibration["after"]

    def shown(side: dict[str, Any], key: str) -> Cell:
        if key in side["bands"]:
            return banded(side[key], *side["bands"][key])
        found = exact(side[key])
        return found._replace(text=f"{100 * side[key]:.3g} %") if key == "tied" and found.value else found

    return [(label, wanted, shown(before, key), shown(after, key)) for label, wanted, key in named]
