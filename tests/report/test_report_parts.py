"""The parts of the page on exact small cases: numbers as text, marks, verdicts, image sheets, plots."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from html_reader import Reader
from PIL import Image
from report_example import example

from lfiw_ray.report import cells, downstream, figures, images, tables
from lfiw_ray.report.verdict import outcome, verdict


@pytest.mark.parametrize(
    ("value", "se", "text"),
    [
        (19.4123, 0.3172, "19.41 ± 0.32"),
        (12371.4, 52.0, "12,371 ± 52"),
        (0.00012, 0.00003, "0.000120 ± 0.000030"),
        (3.0, 0.0, "3.000 ± 0"),
        (3.0, None, "3.000 ± n/a"),
        (3.0, float("nan"), "3.000 ± n/a"),
        (float("nan"), 0.1, "n/a"),
        (None, None, "n/a"),
    ],
)
def test_digits_follow_the_standard_error(value: float | None, se: float | None, text: str) -> None:
    assert cells.with_error(value, se) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100_000, "100,000"),
        (100, "100"),
        (0, "0"),
        (0.0, "0.0"),
        (24710.4, "24,710"),
        (0.42, "0.4200"),
        (3e-7, "3.000e-07"),
    ],
)
def test_plain_numbers_keep_their_size(value: float, text: str) -> None:
    assert cells.plain(value) == text


def test_missing_numbers_have_a_reason() -> None:
    assert cells.told(None) == "n/a (not computed)"
    assert cells.told(float("nan")) == "n/a (undefined, the computation gave no number)"
    assert cells.told(float("-inf")) == "n/a (infinite)"
    assert cells.cell(1.0, None).note == "no standard error"


@pytest.mark.parametrize(
    ("value", "low", "high", "text", "interval"),
    [
        (0.24811, 0.2302, 0.2663, "0.2481", "0.2302 to 0.2663"),
        (825.2, 20.4, 2429.0, "825", "20 to 2,429"),
        (0.5, 0.5, 0.5, "0.5000", "0.5000 to 0.5000"),
        (None, 0.1, 0.2, "n/a", ""),
        (1.5, None, 0.2, "1.500", ""),
        (1.5, 0.1, float("inf"), "1.500", ""),
    ],
)
def test_digits_follow_the_interval(
    value: float | None, low: float | None, high: float | None, text: str, interval: str
) -> None:
    found = cells.banded(value, low, high)
    assert (found.text, found.interval) == (text, interval)
    assert found.note == ("" if interval else "not computed" if value is None else "no interval")


def test_calibration_table_has_intervals_and_ties() -> None:
    rows = {label: (before, after) for label, _, before, after in tables.calibration_table(example().calibration)}
    assert [label for label, (_, after) in rows.items() if not after.interval] == [
        "Z statistic",
        "rows that share their odds",
    ]
    assert [found.text for found in rows["rows that share their odds"]] == ["0.1 %", "0 %"]


def test_reliability_plot_draws_bands_and_leaves_out_what_is_missing() -> None:
    bins = [
        {"predicted": 0.2, "observed": 0.3, "count": 9, "low": 0.1, "high": 0.5},
        {"predicted": 0.7, "observed": 0.6, "count": 9, "low": None, "high": None},
    ]
    svg = figures.reliability([], bins)
    assert "largest gap after calibration 0.100" in Reader(svg).all("svg")[0]["aria-label"]
    assert "nan" not in svg


def test_seconds_are_readable() -> None:
    assert [cells.seconds(s) for s in (2.14, 75.2, 3_725.0)] == ["2.1 s", "1 min 15 s", "1 h 2 min"]


def change(raw: float | None, resampled: float | None, z: float | None) -> dict[str, Any]:
    sides = {"raw": {"mean": raw, "se": 0.4}, "resampled": {"mean": resampled, "se": 0.3}}
    return {"metric": "fid", **sides, "difference": {"mean": None, "se": None, "z": z}}


@pytest.mark.parametrize("sign", [1, -1])
def test_outcome_ignores_the_sign_convention_of_z(sign: int) -> None:
    assert outcome(change(57.9, 19.4, sign * 70.0)) == "helps"
    assert outcome(change(19.4, 57.9, sign * 70.0)) == "hurts"
    assert outcome(change(19.9, 19.4, sign * 1.9)) == "unclear"


@pytest.mark.parametrize("z", [None, float("nan"), float("inf")])
def test_outcome_is_unclear_without_a_z(z: float | None) -> None:
    assert outcome(change(57.9, 19.4, z)) == "unclear"


@pytest.mark.parametrize(
    ("second", "gate", "tone", "headline"),
    [
        (change(10.0, 5.0, 9.0), True, "good", "Resampling helps: FID falls by 66 %."),
        (change(5.0, 10.0, 9.0), True, "unclear", "The feature spaces disagree"),
        (change(5.0, 5.1, 0.3), True, "unclear", "The feature spaces disagree"),
        (change(10.0, 5.0, 9.0), False, "bad", "The weights fail their gate. Resampling helps"),
    ],
)
def test_headline_needs_all_feature_spaces_and_the_gate(
    second: dict[str, Any], gate: bool, tone: str, headline: str
) -> None:
    improvement = {"domain": change(57.9, 19.4, 70.0), "random": second}
    chosen = {"ess": 12371.0, "n": 50_000, "ess_fraction": 0.24742}
    found = verdict({"improvement": improvement, "num_rows": 3000, "num_repeats": 5}, chosen, gate)
    assert found.tone == tone
    assert found.headline.startswith(headline)
    assert "57.90 ± 0.40 (raw samples) to 19.40 ± 0.30 (resampled): closer, 70.0 standard errors." in found.sentences[0]
    assert "12,371 effective rows of 50,000 (24.7 %)" in found.sentences[2]


def test_hurting_is_said() -> None:
    evaluation = {"improvement": {"domain": change(57.9, 187.0, 40.0)}, "num_rows": 3000, "num_repeats": 5}
    found = verdict(evaluation, {"ess": 4.0, "n": 50_000, "ess_fraction": 8e-5}, True)
    assert (found.tone, found.headline) == ("bad", "Resampling makes it worse: FID rises by 223 %.")


def decoded(picture: images.Picture) -> np.ndarray:
    png = base64.b64decode(picture.uri.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape[:2] == (picture.height, picture.width)
    return pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_sheet_holds_every_image_in_order(channels: int) -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 14, 14, channels), dtype=np.uint8)
    picture = images.grid(x)
    assert picture is not None
    enlarge = 18  # four images of 14 pixels and three gaps are 59 wide; 1,080 / 59
    small = decoded(picture)[::enlarge, ::enlarge]
    assert small.shape == (29, 59, channels + 1)
    for place, image in enumerate(x):
        top, left = 15 * (place // 4), 15 * (place % 4)
        np.testing.assert_array_equal(small[top : top + 14, left : left + 14, :channels], image)
    assert (small[14, :, channels] == 0).all()  # gaps are transparent


def test_tiles_are_the_images_enlarged() -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    for picture, image in zip(images.tiles(x), x, strict=True):
        np.testing.assert_array_equal(decoded(picture)[::4, ::4], image[:, :, 0])


def test_large_images_are_averaged_down() -> None:
    x = np.tile(np.arange(72, dtype=np.uint8)[:, None, None, None], (1, 256, 256, 3))
    picture = images.grid(x)
    assert picture is not None
    pixels = decoded(picture)
    shown = pixels[..., 0][pixels[..., 3] == 255]
    assert list(dict.fromkeys(shown.tolist()))[:12] == list(range(12))
    assert set(shown.tolist()) == set(range(72))
    assert picture.width < 2_000


def test_no_images_no_sheet() -> None:
    assert images.grid(np.zeros((0, 28, 28, 1), dtype=np.uint8)) is None


def test_dot_plot_names_each_arm_with_its_number() -> None:
    rows = [figures.Dot("raw", 57.9, 0.4, [57.0, 58.8], "raw"), figures.Dot("<SIR>", None, None, [], "chosen", True)]
    reader = Reader(figures.dots(rows, "dots", "FID", 1.04, "real"))
    assert {"raw", "57.90 ± 0.40", "<SIR>", "n/a", "real"} <= set(reader.texts)
    assert reader.all("svg")[0]["aria-label"] == "Dot plot of FID (log scale). raw: 57.90 ± 0.40; <SIR>: n/a."


def test_a_heading_makes_room_above_its_row() -> None:
    rows = [figures.Dot(name, 1.0, 0.1, [], "rival") for name in "abc"]
    plain, headed = (Reader(figures.dots(r, "dots", "FID")) for r in (rows, [*rows[:2], rows[2]._replace(heading="R")]))
    assert plain.texts.count("R") == 0
    assert headed.texts.count("R") == 1
    heights = [float(reader.all("svg")[0]["viewbox"].split()[3]) for reader in (plain, headed)]
    assert heights == pytest.approx([62 + 3 * 36, 62 + 3.7 * 36])


def test_alpha_plot_without_a_table() -> None:
    choice = {"alpha": 0.5, "auto": False, "min_ess_fraction": 0.15, "max_k_hat": 0.7, "table": []}
    assert "for 0 values of alpha" in Reader(figures.alpha_choice(choice)).all("svg")[0]["aria-label"]


def test_lorenz_alternative_states_the_share_of_the_light_rows() -> None:
    rows = np.linspace(0, 1, 11)
    label = Reader(figures.lorenz(rows, rows, rows**3, 0.5)).all("svg")[0]["aria-label"]
    assert "hold 90.0% of the weight, 72.9% when done naively" in label


def test_class_shares_must_name_every_class() -> None:
    with pytest.raises(ValueError, match="is longer than"):
        figures.class_shares({"real": [0.5, 0.5], "sir": [1.0]}, {}, ["a", "b"])


def test_largest_class_differences() -> None:
    shares = {"real": [0.2, 0.3, 0.5], "sir": [0.25, 0.35, 0.4]}
    assert tables.class_table(shares, {"sir": "SIR"}, ["a", "b", "c"])[0][2] == "c -10.0"
    assert tables.class_table({"sir": [0.2, 0.8]}, {}, ["a", "b"]) == []


def test_difference_is_clear_when_its_interval_excludes_zero() -> None:
    rows = [
        {"arm": "b", "against": "a", "mean": 0.02, "se": 0.005, "low": 0.01, "high": 0.03},
        {"arm": "c", "against": "a", "mean": 0.02, "se": 0.02, "low": -0.02, "high": 0.06},
        {"arm": "d", "against": "a", "mean": 0.02, "se": None, "low": None, "high": float("nan")},
    ]
    found = downstream.differences({"differences": rows})
    assert [row[2:] for row in found] == [
        ("+1.00 to +3.00", True),
        ("-2.00 to +6.00", False),
        ("n/a (no interval)", False),
    ]
    assert found[0][1].text == "2.00"
