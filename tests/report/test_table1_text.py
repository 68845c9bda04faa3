"""The paper's table as Markdown and as a figure: the numbers of the study, and what is not ours marked as such."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from table1_example import NUM_ROWS, about, example, table

from lfiw_ray.report.table1_figure import figure
from lfiw_ray.report.table1_text import markdown


@pytest.fixture(scope="module")
def text() -> str:
    return markdown(example())


def cells_of(text: str, first: str) -> list[str]:
    """The cells of the row that begins with this label."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_arm_has_its_row_with_errors(text: str) -> None:
    heads = cells_of(text, "arm | alpha")
    for name, arm in table()["arms"].items():
        row = dict(zip(heads, cells_of(text, about()[name]["label"]), strict=True))
        mean, error = (float(part) for part in row["FID ↓"].split(" ± "))
        assert mean == pytest.approx(arm["fid"]["mean"], abs=0.05)
        assert error == pytest.approx(arm["fid"]["se"], abs=0.05)
        assert row["ESS"] == f"{arm['ess']['mean']:,.0f}"
        z = table()["differences"]["fid"].get(name, {"z": None})["z"]
        assert row["z of FID"] == ("" if z is None else f"{z:+.1f}")
    assert dict(zip(heads, cells_of(text, "LFIW, self-normalised"), strict=True))["k_hat"] == "1.25"
    assert float(cells_of(text, "other real rows (the floor)")[3]) == pytest.approx(10.3)


def test_it_says_what_each_number_is_of(text: str) -> None:
    for said in (
        f"{NUM_ROWS:,} samples against {NUM_ROWS:,} published test rows",
        "10 pools of 4,000 samples; 2,048 features, weights SHA-256 " + "ab" * 32,
        "alpha 0.5 (chosen on rows outside the pool)",
        "Small: fewer rows than the paper's",
        *table()["verdicts"].values(),
    ):
        assert said in text


def test_published_figures_are_marked_and_in_a_table_of_their_own(text: str) -> None:
    before, after = text.split("**Published by others, not measured here**")
    assert "Grover" not in before
    row = cells_of(after, "SNGAN with LFIW")
    assert row == [
        "SNGAN with LFIW",
        "10,000",
        "8.570 ± 0.033",
        "17.290 ± 0.070",
        "0.07300 ± 0.00040 (another quantity)",
        "Grover et al. 2019, table 1 (from memory, not checked against the paper)",
    ]
    today = markdown(example(table("today")))
    assert "from memory" not in today
    assert cells_of(today.split("**Published")[1], "SNGAN")[4:] == [
        "0.01250 ± 0.00010",
        "Lee and Town 2020, Mimicry's benchmark (as reported there)",
    ]


def test_tables_are_rectangular(text: str) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", markdown(example(table(), table("today"))), flags=re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "None" not in text
    assert "nan" not in text


def test_what_is_missing_is_left_blank_with_its_reason() -> None:
    made: dict[str, Any] = table(extractor="random") | {
        "floor": None,
        "published": [],
        "inception_score_note": "it has none",
    }
    for arm in made["arms"].values():
        del arm["inception_score"]
    text = markdown(example(made))
    assert "IS ↑" not in text
    assert "Inception Score: it has none." in text
    assert "the floor" not in text
    assert "Published" not in text


def test_the_figure_is_a_whole_file_that_names_arms_and_tables() -> None:
    svg = figure(example(table(), table("today"), table(extractor="random")))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    said = " ".join(root.itertext())
    for label in [found["label"] for name, found in about().items() if name != "raw"]:
        assert label in said
    assert "random" in said
    assert said.count("cifar10_sngan_small") == 3
    assert said.count("+178 %") == 6  # lies beyond the axis, and is told: FID and KID of three tables
    assert re.findall(r"var\(--(\w+)\)", svg)
    assert all(f"--{name}:" in svg for name in re.findall(r"var\(--(\w+)\)", svg))


def test_a_distance_of_raw_that_is_hardly_above_zero_is_nothing_to_be_a_part_of() -> None:
    made = table()
    made["arms"]["raw"]["kid"]["mean"] = 3 * made["arms"]["raw"]["kid"]["se"]
    made["arms"]["raw"]["fid"]["se"] = made["arms"]["raw"]["fid"]["mean"]  # a FID is above zero however it varies
    said = " ".join(ElementTree.fromstring(figure(example(made))).itertext())
    assert re.findall(r"[+-][\d,]+ %", said) == ["+79 %", "+178 %"]  # of FID alone
