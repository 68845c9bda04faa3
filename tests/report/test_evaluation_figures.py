"""The curves of the evaluation on the page: their points, the check for copies in words, what is missing."""

import re
from typing import Any

import numpy as np
import pytest
from html_reader import Reader
from report_example import example, images

from lfiw_ray.report.evaluation_figures import view
from lfiw_ray.report.page import render

NUM_SHOWN = 3


def number(mean: Any, se: Any = 0.5) -> dict[str, Any]:
    return {"mean": mean, "se": None if mean is None else se, "values": []}


def shares(share: float, z: float) -> dict[str, Any]:
    return {
        "num_samples": 256,
        "share": share,
        "se": 0.03,
        "expected": 0.6364,
        "z": z,
        "distance_train": 1.25,
        "distance_held_out": 1.5,
    }


def curves(heavy: float = 0.65, z: float = 0.45, **changes: Any) -> dict[str, Any]:
    points = [(0.0, 40.5, 2000.0), (0.5, 21.25, 640.0), (1.0, 55.75, 12.0)]
    near = [{"sample_id": i, "distance_train": 0.5 + i, "distance_held_out": 1.5 + i} for i in range(NUM_SHOWN)]
    sizes = {"num_train": 3500, "num_held_out": 2000, "num_shown": NUM_SHOWN}
    made: dict[str, Any] = {
        "extractor": "domain",
        "num_features": 64,
        "weights_sha256": "cd" * 32,
        "num_rows": 2000,
        "num_repeats": 5,
        "pool_rows": 20_000,
        "alpha": 0.5,
        "by_alpha": [
            {"alpha": alpha, "fid": number(fid), "kid": number(fid / 1000, 0.001), "ess": number(ess)}
            for alpha, fid, ess in points
        ],
        "by_k": [
            {"k": k, "gumbel": number(0.05 / k, 1e-5), "gumbel_ht": number(0.04 / k, 1e-5)} for k in (250, 500, 2000)
        ],
        "memorisation": {
            "extractor": "random",
            "weights_sha256": "ef" * 32,
            **sizes,
            "heaviest": shares(heavy, z),
            "raw": shares(0.63, -0.2),
            "shown": near,
        },
    }
    return made | changes


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(render(example(curves=(curves(), images(3 * NUM_SHOWN)))))


def test_a_page_without_curves_has_none_of_it() -> None:
    text = render(example())
    assert "copies of training rows" not in text
    assert "curve-alpha" not in text


def test_the_curves_are_in_the_section_of_the_evaluation(reader: Reader) -> None:
    before = len(Reader(render(example())).all("svg"))
    assert len(reader.all("svg")) == before + 3
    text = reader.text
    assert text.index("How far from real") < text.index("copies of training rows") < text.index("ESS / N is")
    labels = " ".join(svg["aria-label"] for svg in reader.all("svg"))
    for said in ("0.5: 21.25 ± 0.50", "12.0: 55.75", "2,000: 2.50e-05"):
        assert said in labels
    shown = {data["value"] for data in reader.all("data")}
    assert {str(point["fid"]["mean"]) for point in curves()["by_alpha"]} <= shown
    assert "domain” (64 features, weights SHA-256 cdcdcdcdcdcd…)" in text


def test_the_share_of_copies_is_said_with_what_is_expected(reader: Reader) -> None:
    assert (
        "of the 256 heaviest samples 65.0 % lie nearer to one of 3,500 rows that trained the generator than to any of "
        "2,000 held-out rows; 63.6 % are expected of samples that repeat nothing (+0.5 standard errors): no sign of "
        "copies." in reader.text
    )
    assert "256 raw samples" in reader.text


def test_copies_are_told_loudly() -> None:
    sentence = view(curves(heavy=0.9, z=8.8), images(3 * NUM_SHOWN)).sentences[1]
    assert "(+8.8 standard errors): they lie nearer to the training rows" in sentence
    assert "no sign" not in sentence


def test_each_heavy_sample_stands_over_its_nearest_rows(reader: Reader) -> None:
    x = images(3 * NUM_SHOWN)
    copies = view(curves(), x).copies
    assert len(copies) == NUM_SHOWN
    assert [text for *_, text in copies] == ["0.500 | 1.50", "1.50 | 2.50", "2.50 | 3.50"]
    alone = [view(curves(), np.roll(x, 3 * shift, axis=0)).copies[0][0] for shift in (0, -1, -2)]
    assert [copies[0][place] for place in range(3)] == alone  # sample, training row, held-out row
    names = [image["alt"] for image in reader.all("img")]
    assert names.count("Its nearest training row") == names.count("Its nearest held-out row") == NUM_SHOWN


def test_missing_numbers_are_never_shown_as_numbers() -> None:
    def blank(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: blank(item) for key, item in value.items()}
        if isinstance(value, list):
            return [blank(item) for item in value]
        return None if isinstance(value, float) else value

    made = {**blank(curves()), "by_alpha": [{**p, "alpha": 0.5} for p in blank(curves())["by_alpha"]]}
    text = Reader(render(example(curves=(made, images(3 * NUM_SHOWN))))).text
    assert not re.search(r"\b(nan|NaN|inf|None)\b", text)
    assert "nothing can be said of copies" in text


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="8 images for 3 samples"):
        view(curves(), images(8))
