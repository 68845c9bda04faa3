"""The evaluation's figures as tables: which arms stand together, which is best, what is missing and why.

Each feature space has up to three: the figures one looks at first, the other figures that were computed, and the
bootstrap intervals of both.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lfiw_ray.report.cells import Cell, Number, cell, decimals_for, exact, is_number, rounded
from lfiw_ray.report.tables import group_title


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
MORE = (  # each shown where it was computed
    Column("c2st_accuracy", "C2ST accuracy", -1),
    Column("kl_reduction_bins_nats", "KL reduction, nats", 1),
    Column("kid_rbf", "KID, Gaussian kernel", -1),
    Column("kid_subsets", "KID, mean of subsets", -1),
    Column("inception_score_splits", "Inception Score, mean of splits", 1),
    Column("fid_infinity", "FID∞", -1),
    Column("is_infinity", "IS∞", 1),
    Column("fid_npz", "FID to others’ statistics", -1),
)
_NEED_PROBABILITIES = ("inception_score", "class_tv")
_OF_COVARIANCES = ("fid", "fid_infinity", "fid_npz")
BEST, BEST_UNBIASED = "★", "☆"


class Row(NamedTuple):
    """One arm of a metric table."""

    label: str
    estimates: str
    biased: bool
    cells: list[Cell]


class MetricTable(NamedTuple):
    """All arms in one feature space; `groups` is [(title, rows)], `notes` gives each letter in a cell its reason.

    `real` is empty where real rows have no such figures.
    """

    title: str
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
        reason = shown.note if shown.value else f"n/a: {shown.note}"
        return shown._replace(note=self.letters.setdefault(reason, chr(ord("a") + len(self.letters))))

    def listed(self) -> list[tuple[str, str]]:
        return [(letter, reason) for reason, letter in self.letters.items()]


def metric_tables(evaluation: dict[str, Any], extractor: str) -> list[MetricTable]:
    """The tables of one feature space; those without a column are left out."""
    arms = evaluation["extractors"][extractor]["arms"]
    more = tuple(column for column in MORE if any(column.key in arm for arm in arms.values()))
    known = (*METRICS, *more)
    with_interval = tuple(c for c in known if c.direction and any("low" in (a.get(c.key) or {}) for a in arms.values()))
    found = [_figures(evaluation, extractor, "Metrics", METRICS)]
    found += [_figures(evaluation, extractor, "Further metrics", more)] if more else []
    return found + ([_intervals(evaluation, extractor, with_interval)] if with_interval else [])


def _figures(evaluation: dict[str, Any], extractor: str, title: str, columns: tuple[Column, ...]) -> MetricTable:
    """Means with standard errors, the best marked."""
    space, about = evaluation["extractors"][extractor], evaluation["arms"]
    notes, score_note = _Notes(), space["inception_score_note"]
    best = {column.key: _best(space, about, column) for column in columns if column.direction}
    decimals = _decimals(space, columns)

    def shown(arm: str, column: Column) -> Cell:
        number = space["arms"][arm].get(column.key)
        why = _why_none(column.key, about[arm], score_note)
        found = cell(*_mean_and_se(number), why, decimals.get(column.key))
        if found.value and not found.note and column.key in _OF_COVARIANCES and space["arms"][arm]["rank_deficient"]:
            found = found._replace(note=_rank_deficient(evaluation, space))
        return notes.mark(found)._replace(mark=best.get(column.key, {}).get(arm, ""))

    groups = _groups(evaluation, extractor, columns, shown)
    real = [
        notes.mark(
            exact(space["real"].get(column.key), _why_none(column.key, {}, score_note), decimals.get(column.key))
        )
        for column in columns
    ]
    return MetricTable(title, columns, real, groups, notes.listed())


def _intervals(evaluation: dict[str, Any], extractor: str, columns: tuple[Column, ...]) -> MetricTable:
    """The intervals of the means."""
    space, notes = evaluation["extractors"][extractor], _Notes()
    decimals = _decimals(space, columns)

    def shown(arm: str, column: Column) -> Cell:
        number = space["arms"][arm].get(column.key) or {}
        low, high = number.get("low"), number.get("high")
        if not (is_number(low) and is_number(high)):
            return notes.mark(Cell("n/a", note="no interval"))
        ends = " to ".join(rounded(end, 0.0, decimals[column.key])[0] for end in (low, high))
        return Cell(ends, value=f"{low} to {high}")

    groups = _groups(evaluation, extractor, columns, shown)
    return MetricTable("95 % intervals of the means", columns, [], groups, notes.listed())


def _groups(
    evaluation: dict[str, Any], extractor: str, columns: Sequence[Column], shown: Callable[[str, Column], Cell]
) -> list[tuple[str, list[Row]]]:
    """Arms grouped by their weights, in the order of their first appearance."""
    groups: dict[str, list[Row]] = {}
    for arm in evaluation["extractors"][extractor]["arm_order"]:
        about = evaluation["arms"][arm]
        row = Row(about["label"], about["estimates"], about["biased"], [shown(arm, column) for column in columns])
        groups.setdefault(group_title(about), []).append(row)
    return list(groups.items())


def _decimals(space: dict[str, Any], columns: Sequence[Column]) -> dict[str, int | None]:
    """Of each column but the counts, which differ by orders of magnitude between arms."""
    return {
        column.key: decimals_for((arm.get(column.key) or {"se": None})["se"] for arm in space["arms"].values())
        for column in columns
        if column.direction
    }


def _rank_deficient(evaluation: dict[str, Any], space: dict[str, Any]) -> str:
    return (
        f"rank-deficient: fewer rows (N {evaluation['num_rows']:,}, ESS, or {evaluation['num_reference_rows']:,} real "
        f"rows) than the {space['num_features']:,} features, or as many; FID is then far above its limit for many rows"
    )


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
