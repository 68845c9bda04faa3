"""The tables of the page as rows of cells: which arms stand together, which is best, what is missing and why."""

from typing import Any, NamedTuple

from lfiw_ray.report.cells import Cell, Number, banded, cell, decimals_for, exact, is_number, short


class Column(NamedTuple):
    """A metric: `direction` is +1 when higher is better, -1 when lower is, 0 when neither."""

    key: str
    label: str
    direction: int

    @property
    def hint(self) -> str:
        """The direction in words."""
        return {1: "higher is better", -1: "lower is better", 0: ""}[self.direction]

    @property
    def arrow(self) -> str:
        """The direction as a sign."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction]


METRICS = (
    Column("fid", "FID", -1),
    Column("kid", "KID", -1),
    Column("inception_score", "Inception Score", 1),
    Column("precision", "precision", 1),
    Column("recall", "recall", 1),
    Column("density", "density", 1),
    Column("coverage", "coverage", 1),
    Column("class_tv", "class distance", -1),
    Column("ess", "ESS", 0),
    Column("distinct", "distinct rows", 0),
)
_NEED_PROBABILITIES = ("inception_score", "class_tv")
BEST, BEST_UNBIASED = "★", "☆"
RIVALS = "Rivals: other ways to choose rows of the same pool by the same weights"


class Row(NamedTuple):
    """One arm of a metric table."""

    label: str
    estimates: str
    biased: bool
    cells: list[Cell]


class MetricTable(NamedTuple):
    """All arms in one feature space; `groups` is [(title, rows)], `notes` says why a cell is n/a."""

    columns: tuple[Column, ...]
    real: list[Cell]
    groups: list[tuple[str, list[Row]]]
    notes: list[tuple[str, str]]


class _Notes:
    """Reasons under a table, each with a letter."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def mark(self, shown: Cell) -> Cell:
        """The cell with its reason replaced by the reason's letter."""
        if not shown.note:
            return shown
        letter = self.letters.setdefault(shown.note, chr(ord("a") + len(self.letters)))
        return shown._replace(note=letter)

    def listed(self) -> list[tuple[str, str]]:
        return [(letter, reason) for reason, letter in self.letters.items()]


def metric_table(evaluation: dict[str, Any], extractor: str) -> MetricTable:
    """The table of one feature space, arms grouped by their weights in the order of their first appearance."""
    space, about = evaluation["extractors"][extractor], evaluation["arms"]
    notes, groups = _Notes(), dict[str, list[Row]]()
    score_note = space["inception_score_note"]
    best = {column.key: _best(space, about, column) for column in METRICS if column.direction}
    decimals = {
        column.key: decimals_for((arm.get(column.key) or {"se": None})["se"] for arm in space["arms"].values())
        for column in METRICS
        if column.direction  # counts differ by orders of magnitude between arms
    }
    for arm in space["arm_order"]:
        cells = []
        for column in METRICS:
            number, places = space["arms"][arm].get(column.key), decimals.get(column.key)
            shown = notes.mark(cell(*_mean_and_se(number), _why_none(column.key, about[arm], score_note), places))
            cells.append(shown._replace(mark=best.get(column.key, {}).get(arm, "")))
        row = Row(about[arm]["label"], about[arm]["estimates"], about[arm]["biased"], cells)
        groups.setdefault(group_title(about[arm]), []).append(row)
    real = [
        notes.mark(
            exact(space["real"].get(column.key), _why_none(column.key, {}, score_note), decimals.get(column.key))
        )
        for column in METRICS
    ]
    return MetricTable(METRICS, real, list(groups.items()), notes.listed())


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


def _mean_and_se(number: dict[str, Any] | None) -> tuple[Number, Number]:
    return (number["mean"], number["se"]) if number else (None, None)


def _why_none(key: str, arm: dict[str, Any], score_note: str | None) -> str:
    """What a missing metric means; `arm` is empty for the real rows."""
    if key in _NEED_PROBABILITIES and score_note:
        return score_note
    if not arm:
        return "not computed for the real rows"
    return "not computed for a weighted set" if arm["weighted"] else "not computed for this arm"


def _best(space: dict[str, Any], about: dict[str, Any], column: Column) -> dict[str, str]:
    """Marks of one column: the best arm, and the best that is not biased when the best is."""
    means = {arm: (space["arms"][arm].get(column.key) or {"mean": None})["mean"] for arm in space["arm_order"]}
    known = {arm: mean for arm, mean in means.items() if is_number(mean)}
    ranked = sorted(known, key=lambda arm: -column.direction * known[arm])
    marks = {ranked[0]: BEST} if ranked else {}
    unbiased = [arm for arm in ranked if not about[arm]["biased"]]
    if unbiased and unbiased[0] not in marks:
        marks[unbiased[0]] = BEST_UNBIASED
    return marks


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
