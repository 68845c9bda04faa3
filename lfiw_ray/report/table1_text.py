"""The paper's table as Markdown: a section for each generator, a table for each feature space and protocol."""

from collections.abc import Iterator
from typing import Any

from lfiw_ray.report.cells import cell, decimals_for, is_number, plain, rounded, short

COLUMNS = {  # metric: heading, with the direction in which it is better
    "inception_score": "IS ↑",
    "fid": "FID ↓",
    "kid": "KID ↓",
    "precision": "precision ↑",
    "recall": "recall ↑",
}
_COUNTS = {"ess": "ESS", "distinct": "distinct rows"}


def markdown(found: dict[str, Any]) -> str:
    """The whole text.

    Parameters
    ----------
    found : {"label", "generators": [{"name", ...}]}, the latter as `studies.table1.study` returns them.
    """
    lines = ["# Raw, weighted and chosen samples against real rows", "", _told(found["label"]), ""]
    for generator in found["generators"]:
        lines += _generator(generator)
    return "\n".join(lines).rstrip() + "\n"


def _told(label: str) -> str:
    return (
        f"{label}. Means over disjoint pools ± one standard error; the real rows and the models are the same in all "
        "pools. Within a table every arm has the same N; numbers of different N, or in different feature spaces, are "
        "not comparable. z is the difference of FID from raw samples, paired by pool, in standard errors: below 0 is "
        "nearer to the real rows."
    )


def _generator(generator: dict[str, Any]) -> list[str]:
    weights = generator["weights"]
    chosen = "chosen on rows outside the pool" if weights["auto"] else "set in the configuration"
    gate = "pass" if weights["passed"] else "FAIL"
    lines = [
        f"## {generator['name']}: {generator['generator']} on {generator['data']}",
        "",
        f"alpha {short(weights['alpha'])} ({chosen}); the pool's weights at this alpha have ESS / N "
        f"{plain(weights['ess_fraction'], 3)} and k_hat {plain(weights['k_hat'], 3)}, and {gate} their gate. "
        f"Seed {generator['seed']}.",
        "",
    ]
    for table in generator["tables"]:
        lines += _table(table, generator["arms"])
    return lines


def _table(table: dict[str, Any], about: dict[str, Any]) -> list[str]:
    title = (
        f"### {table['extractor']}: {table['num_rows']:,} samples against {table['reference']['num_rows']:,} "
        f"{table['reference']['label']}"
    )
    space = (
        f"Protocol `{table['protocol']}`; {table['num_repeats']} pools of {table['pool_rows']:,} samples; "
        f"{table['num_features']:,} features, weights SHA-256 {table['weights_sha256']}."
    )
    note = table["inception_score_note"]
    fewest = min(arm["ess"]["mean"] for arm in table["arms"].values())
    if fewest <= table["num_features"]:
        space += (
            f" An arm worth no more effective rows than there are features ({table['num_features']:,}) has a "
            "rank-deficient covariance: its FID is far above its limit for many rows; KID has no such bias."
        )
    columns = {key: head for key, head in COLUMNS.items() if key in table["arms"]["raw"]}
    heads = ["arm", "alpha", *columns.values(), *_COUNTS.values(), "k_hat", "z of FID"]
    rows = list(_rows(table, about, columns))
    lines = [title, "", space + (f" Inception Score: {note}." if note else ""), "", _line(heads)]
    lines += [_line(["---"] * len(heads)), *map(_line, rows), ""]
    lines += [f"- {sentence}" for sentence in table["verdicts"].values()]
    return [*lines, "", *_published(table["published"])]


def _rows(table: dict[str, Any], about: dict[str, Any], columns: dict[str, str]) -> Iterator[list[str]]:
    arms = table["arms"]
    decimals = {key: decimals_for(arm[key]["se"] for arm in arms.values()) for key in columns}
    if table["floor"] is not None:
        numbers = [rounded(table["floor"].get(key), 0.0, decimals[key])[0] for key in columns]
        yield ["other real rows (the floor)", "", *numbers, f"{table['num_rows']:,}", f"{table['num_rows']:,}", "", ""]
    for name, arm in arms.items():
        numbers = [_with_error(arm[key], decimals[key]) for key in columns]
        counts = [f"{arm[key]['mean']:,.0f}" for key in _COUNTS]
        z = table["differences"]["fid"].get(name, {"z": None})["z"]
        alpha, shape = about[name]["alpha"], arm["k_hat"]
        ends = ["" if shape is None else f"{shape:.2f}", f"{z:+.1f}" if is_number(z) else ""]
        yield [about[name]["label"], "" if alpha is None else short(alpha), *numbers, *counts, *ends]


def _with_error(number: dict[str, Any], decimals: int | None) -> str:
    shown = cell(number["mean"], number["se"], decimals=decimals)
    return f"{shown.text} ± {shown.error}" if shown.error else shown.text


def _published(rows: list[dict[str, Any]]) -> list[str]:
    """What others report, in a table of its own and marked as such."""
    if not rows:
        return []
    lines = ["**Published by others, not measured here**", "", _line(["arm", "N", "IS ↑", "FID ↓", "KID ↓", "source"])]
    lines.append(_line(["---"] * 6))
    for row in rows:
        numbers = [_pair(row[key]) for key in ("inception_score", "fid", "kid")]
        kid = numbers[2] if row["kid_is_ours"] or not row["kid"] else f"{numbers[2]} (another quantity)"
        checked = "from memory, not checked against the paper" if row["from_memory"] else "as reported there"
        lines.append(_line([row["label"], f"{row['num_rows']:,}", *numbers[:2], kid, f"{row['source']} ({checked})"]))
    return [*lines, ""]


def _pair(number: Any) -> str:
    if number is None:
        return ""
    mean, se = number
    return "{} ± {}".format(*rounded(mean, se, decimals_for([se])))


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
