"""The whole page: structure, what it may load, escaping, numbers, what is missing, what must be loud."""

import copy
import re
from typing import Any

import numpy as np
import pytest
from html_reader import Reader
from report_example import ARMS, METRIC_SCALE, example, images
from studies_example import studies

from lfiw_ray.report import cells
from lfiw_ray.report.page import render

SECTIONS = (
    "images",
    "distance",
    "weights",
    "classifier",
    "classes",
    "downstream",
    "training",
    "known",
    "glossary",
    "run",
)
HOSTILE = "<script>alert(\"x\")</script>'DejaVu Sans' & $\\frac{$ {{ 7 * 7 }} ]]> 名"
SETTINGS = {"alpha", "min_ess_fraction", "max_k_hat", "grid", "edges", "k", "kl_nats", "level"}
STUDY_FIGURES = 4 + 2 + 2 + 1  # of the example's toy, estimators (a case each), telescoping (a model each), gaussians


@pytest.fixture(scope="module")
def page() -> str:
    return render(example(studies=studies()))


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    return Reader(page)


def replaced(value: Any, kind: type, new: Any) -> Any:
    """`value` with every measured number, or every string, replaced; settings and lookups stay."""
    if isinstance(value, dict):
        kept = SETTINGS | {"arm_order", "metric"}
        return {key: item if key in kept else replaced(item, kind, new) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, kind, new) for item in value]
    return new if isinstance(value, kind) else value


def test_every_section_is_there_and_linked(reader: Reader) -> None:
    assert [section["id"] for section in reader.all("section")] == list(SECTIONS)
    assert [link["href"] for link in reader.all("a")] == [f"#{name}" for name in SECTIONS]


def test_ids_are_unique_and_references_resolve(page: str, reader: Reader) -> None:
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert targets
    assert set(targets) <= set(ids)


def test_pictures_have_a_text_alternative(reader: Reader) -> None:
    assert len(reader.all("img")) == 4 + 2 * 24
    assert all(image["alt"].strip() for image in reader.all("img"))
    assert len(reader.all("svg")) == 10 + STUDY_FIGURES
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 20 for svg in reader.all("svg"))


def test_tables_have_captions_and_scoped_headers(reader: Reader) -> None:
    assert len(reader.all("caption")) == len(reader.all("table"))
    assert all(header.get("scope") in ("col", "row", "rowgroup") for header in reader.all("th"))


def test_nothing_is_loaded_and_nothing_runs(page: str, reader: Reader) -> None:
    assert not {tag for tag, _ in reader.elements} & {"script", "link", "iframe", "object", "base", "form"}
    for _, attributes in reader.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "href", "srcset", "xlink:href") or value.startswith(("data:", "#"))
    assert not re.search(r"@import|https?://", page)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", page))


def test_page_is_small_even_with_large_noisy_colour_images() -> None:
    x = images(120, 64, 3)
    changes = dict.fromkeys(("real_x", "raw_x", "sir_x", "gumbel_x", "top_weight_x", "low_weight_x"), x)
    log_w = np.zeros(120)
    assert len(render(example(**changes, top_log_w=log_w, low_log_w=log_w)).encode()) < 4_000_000


def test_rendering_twice_gives_the_same_page(page: str) -> None:
    assert render(example(studies=studies())) == page


def test_hostile_text_is_only_text() -> None:
    inputs = example()
    hostile = {
        name: replaced(getattr(inputs, name), str, HOSTILE)
        for name in ("title", "created", "run_url", "config_yaml", "git_commit", "calibration", "diagnostics")
    }
    evaluation = replaced(inputs.evaluation, str, HOSTILE)
    evaluation["extractors"] = {HOSTILE: evaluation["extractors"]["domain"]}
    evaluation["improvement"] = {HOSTILE: evaluation["improvement"]["domain"]}
    downstream = replaced(inputs.downstream, str, HOSTILE)
    downstream["arms"] = {HOSTILE: downstream["arms"]["labels only"]}
    keyed = {name: {HOSTILE: HOSTILE} for name in ("versions", "plans")} | {"stage_seconds": {HOSTILE: 1.0}}
    training = {HOSTILE: inputs.training["generator"]}
    page = render(
        inputs._replace(
            **hostile,
            **keyed,
            evaluation=evaluation,
            downstream=downstream,
            training=training,
            class_names=[HOSTILE] * 10,
        )
    )
    reader = Reader(page)
    assert not reader.all("script")
    assert "49" not in reader.all("title")[0]
    assert HOSTILE in reader.text
    assert len(reader.all("svg")) == 8
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_metric_tables_show_the_inputs(page: str) -> None:
    evaluation = example().evaluation
    for space in evaluation["extractors"].values():
        for arm in ARMS:
            for metric in METRIC_SCALE:
                number = space["arms"][arm].get(metric)
                if number is None or number["mean"] is None:
                    continue
                mean = rf'<data value="{re.escape(str(number["mean"]))}">([^<]+)</data>(?:<sup>[a-z]</sup>)?'
                shown = re.search(mean + r' <span class="error">± ([^<]+)<', page)
                assert shown is not None, (arm, metric)
                for text, value in zip(shown.groups(), (number["mean"], number["se"]), strict=True):
                    decimals = len(text.partition(".")[2])
                    assert abs(float(text.replace(",", "")) - value) <= 0.5 * 10.0**-decimals + 1e-12


def test_all_samples_as_one_set_have_a_table_where_asked_for(reader: Reader) -> None:
    whole = {"random": {"raw": {"fid": 7.25, "num_rows": 100_000, "ess": 1e5}}}
    asked = Reader(render(example(evaluation=example().evaluation | {"whole_pool": whole})))
    assert "All samples of the pool as one set" not in reader.text
    assert "raw, in “random” 100,000 100,000 7.250 n/a (random features have no classes)" in asked.text
    assert "KL reduction of the weights (alpha = 0.5): 1.900 ± 0.020 nats" in asked.text
    assert "95 % intervals of the means in “domain”" in reader.text


def test_headline_and_tiles_show_the_inputs(reader: Reader) -> None:
    change = example().evaluation["improvement"]["domain"]
    raw, resampled = change["raw"]["mean"], change["resampled"]["mean"]
    assert f"Resampling helps: FID falls by {100 * (raw - resampled) / raw:.0f} %." in reader.text
    assert f"{change['difference']['z']:.1f} standard errors" in reader.text
    assert "24,710 effective rows of 100,000 (24.7 %)" in reader.text
    assert "k_hat 0.420 wanted: at most 0.7" in reader.text


def test_diagnostics_calibration_and_downstream_show_the_inputs(reader: Reader) -> None:
    shown = {data["value"] for data in reader.all("data")}
    inputs = example()
    for which in ("chosen", "naive"):
        numbers = inputs.diagnostics[which]
        assert {str(value) for key, value in numbers.items() if not key.endswith(("_se", "_note"))} <= shown
    for side in ("before", "after"):
        found = inputs.calibration[side]
        numbers = {k: v for k, v in found.items() if k not in ("bins", "bands") and not k.endswith("_se")}
        assert {str(value) for value in numbers.values()} <= shown
        for name, ends in found["bands"].items():
            assert cells.banded(found[name], *ends).interval in reader.text
    assert inputs.downstream is not None
    assert {str(100 * row["mean"]) for row in inputs.downstream["arms"].values()} <= shown
    assert inputs.downstream["verdict"] in reader.text


def test_warnings_about_the_calibrator_are_shown(reader: Reader) -> None:
    calibration = example().calibration | {"warnings": ["THE CLASSIFIER RANKS BACKWARDS", "isotonic makes ties"]}
    warned = Reader(render(example(calibration=calibration)))
    assert len(warned.having("div", "fail")) == len(reader.having("div", "fail")) + 1
    assert "Mind THE CLASSIFIER RANKS BACKWARDS Isotonic makes ties" in warned.text
    assert "Mind" not in reader.text


def test_code_length_is_shown_where_the_generator_has_one(reader: Reader) -> None:
    assert "3.210 ± 0.040 bits a pixel value (exact) on 2,048 real rows" in reader.text
    assert "bits a pixel value" not in render(example(code_length=None))


def test_run_facts_are_shown(reader: Reader) -> None:
    inputs = example()
    facts = [inputs.title, inputs.run_url, inputs.git_commit, *inputs.plans.values(), "ray 2.60.0", "1 min 15 s"]
    assert all(str(fact) in reader.text for fact in facts)
    assert "weights: alpha: auto" in reader.text


def test_arms_say_what_they_estimate_and_biased_ones_are_marked(reader: Reader) -> None:
    assert all(arm["estimates"] in reader.text for arm in ARMS.values())
    biased = sum(arm["biased"] for arm in ARMS.values())
    assert (
        len(reader.having("span", "tag")) == 1 + biased + 6 * biased
    )  # explained, listed, in three tables of two spaces


def test_passed_gate_is_quiet(reader: Reader) -> None:
    assert not reader.having("div", "alarm")
    assert not reader.having("div", "alarming")
    assert reader.having("header", "good")


def test_failed_gate_is_loud_and_advises() -> None:
    inputs = example()
    diagnostics = copy.deepcopy(inputs.diagnostics)
    diagnostics["verdict"] = {"passed": False, "reasons": ["ESS of 12 rows"], "advice": ["train for longer"]}
    diagnostics["chosen"] |= {"ess_fraction": 0.0012, "k_hat": 0.95}
    reader = Reader(render(inputs._replace(diagnostics=diagnostics)))
    assert len(reader.having("div", "alarm")) == 1
    assert reader.having("header", "bad")
    assert len(reader.having("div", "alarming")) == 2
    assert "The weights fail their gate." in reader.text
    assert reader.text.index("ESS of 12 rows") < reader.text.index("train for longer") < reader.text.index("Real ·")


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf")])
def test_missing_numbers_are_never_shown_as_numbers(nothing: float | None) -> None:
    inputs = example(studies=studies())
    names = ("evaluation", "diagnostics", "calibration", "alpha", "downstream", "training", "class_histograms")
    names += ("studies", "code_length")
    blanked = {name: replaced(getattr(inputs, name), float, nothing) for name in names}
    reader = Reader(render(inputs._replace(**blanked)))
    assert not re.search(r"\b(nan|NaN|inf|None)\b", reader.text)
    reason = {"None": "not computed", "nan": "undefined, the computation gave no number", "inf": "infinite"}[
        str(nothing)
    ]
    assert reader.text.count(f"n/a ({reason})") > 10
    shown = {data["value"] for data in reader.all("data")}
    assert shown == {str(inputs.diagnostics["chosen"]["n"])}
    assert "Resampling makes no clear difference." in reader.text


def test_missing_inception_score_gives_its_reason(reader: Reader) -> None:
    assert "n/a: random features have no classes." in reader.text
    assert "n/a: not computed for a weighted set." in reader.text


def test_absent_parts_say_so() -> None:
    none = images(0)
    evaluation = example().evaluation | {"extractors": {}, "improvement": {}}
    inputs = example(
        downstream=None,
        git_commit=None,
        training={},
        class_histograms={},
        class_names=[],
        gumbel_x=none,
        evaluation=evaluation,
    )
    text = Reader(render(inputs)).text
    for said in (
        "n/a (the downstream stage was not run)",
        "n/a (not run from a git checkout)",
        "n/a (this run trained nothing)",
        "n/a (the data have no labels)",
        "n/a (no images of this set)",
        "No feature space was evaluated",
    ):
        assert said in text


def test_images_and_log_weights_must_match() -> None:
    with pytest.raises(ValueError, match="24 top-weight images but 23 log weights"):
        render(example(top_log_w=np.zeros(23)))


def test_float_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8 \(n, H, W, 1 or 3\), not float32 \(24, 28, 28, 1\)"):
        render(example(real_x=images().astype(np.float32)))
