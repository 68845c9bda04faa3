"""The downstream task's part of the page: accuracies and their differences, in per cent."""

from typing import Any

from lfiw_ray.report import figures
from lfiw_ray.report.cells import Cell, Number, cell, is_number


def accuracies(downstream: dict[str, Any] | None) -> list[tuple[str, Cell, int]]:
    """Arm, accuracy, number of seeds."""
    arms = downstream["arms"] if downstream else {}
    return [(arm, _points(row), len(row["values"])) for arm, row in arms.items()]


def differences(downstream: dict[str, Any] | None) -> list[tuple[str, Cell, str, bool]]:
    """Arm against arm, difference, interval, whether the interval excludes zero."""
    rows = downstream["differences"] if downstream else []
    return [(f"{row['arm']} against {row['against']}", _points(row), *_interval(row)) for row in rows]


def figure(downstream: dict[str, Any]) -> str:
    """Dot plot of the arms."""
    rows = [
        figures.Dot(arm, _times100(row["mean"]), _times100(row["se"]), [_times100(v) for v in row["values"]], "chosen")
        for arm, row in downstream["arms"].items()
    ]
    return figures.dots(rows, "downstream", "test accuracy (per cent)")


def _points(row: dict[str, Any]) -> Cell:
    return cell(_times100(row["mean"]), _times100(row["se"]))


def _interval(row: dict[str, Any]) -> tuple[str, bool]:
    low, high = row["low"], row["high"]
    if not (is_number(low) and is_number(high)):
        return "n/a (no interval)", False
    return f"{100 * low:+.2f} to {100 * high:+.2f}", low > 0 or high < 0


def _times100(share: Number) -> Number:
    return None if share is None else 100 * share
