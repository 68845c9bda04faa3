"""What the evaluation says of the run as a whole: what its weights gain, and all its samples as one set."""

from typing import Any, NamedTuple

from lfiw_ray.report.cells import Cell, exact, is_number, plain, short, told_with_error

_REFERENCES = {
    "held_out": "real rows that nothing else has seen",
    "test": "published test rows that nothing else has seen",
    "train": "published training rows, which the generator has seen: one that repeats them looks perfect",
}
_KEYS = ("num_rows", "ess", "fid", "inception_score")
COLUMNS = ("N", "ESS", "FID", "Inception Score")


class WholeSet(NamedTuple):
    """A row of the table of whole sets."""

    label: str
    cells: list[Cell]


def compared_with(evaluation: dict[str, Any]) -> str:
    """The rows of the reference, in words."""
    return f"{evaluation['num_reference_rows']:,} {_REFERENCES.get(evaluation['reference'], 'real rows')}"


def gain(evaluation: dict[str, Any]) -> str | None:
    """How much nearer to the data the weights bring the model; None where no classifier made them."""
    found = evaluation["kl_reduction_nats"]
    if found is None or not is_number(found["value"]):
        return None
    rows = " and ".join(f"{plain(found[f'num_{of}_rows'])} {of}" for of in ("real", "pool"))
    nats = told_with_error(found["value"], found["se"])
    return (
        f"KL reduction of the weights (alpha = {short(found['alpha'])}): {nats} nats, from the weights of {rows} rows. "
        "Above 0 the weighted model is nearer to the data than the model."
    )


def whole_sets(evaluation: dict[str, Any]) -> list[WholeSet]:
    """All samples of the pool in each space, raw and weighted; empty where that was not asked for."""
    return [
        WholeSet(f"{side}, in “{space}”", [exact(figures.get(key), _why(evaluation, space, key)) for key in _KEYS])
        for space, sides in evaluation["whole_pool"].items()
        for side, figures in sides.items()
    ]


def _why(evaluation: dict[str, Any], space: str, key: str) -> str:
    note = evaluation["extractors"][space]["inception_score_note"]
    return note if key == "inception_score" and note else "not computed"
