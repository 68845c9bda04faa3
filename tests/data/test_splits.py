"""The four splits of the real rows."""

import numpy as np
import pytest

from lfiw_ray.config import DataConfig
from lfiw_ray.data.splits import split
from lfiw_ray.errors import ConfigError

FRACTIONS = DataConfig(generator_fraction=0.3, classifier_fraction=0.3, calibration_fraction=0.1)


@pytest.mark.parametrize("num_rows", [20, 101, 10_000])
@pytest.mark.parametrize("labelled", [False, True])
def test_every_row_is_in_exactly_one_split(num_rows: int, labelled: bool):
    labels = np.arange(num_rows) % 7 if labelled else None
    splits = split(num_rows, FRACTIONS, 3, labels)
    assert np.array_equal(np.sort(np.concatenate(splits)), np.arange(num_rows))
    for part in splits:
        assert part.dtype == np.int64
        assert np.array_equal(part, np.sort(part))
    assert [len(part) for part in splits[:3]] == [round(f * num_rows) for f in (0.3, 0.3, 0.1)]


def test_the_seed_alone_decides():
    first, again, other = (split(1_000, FRACTIONS, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    # two independent draws of 300 of 1,000 share 90 rows on average, with a standard deviation of 8
    assert abs(len(np.intersect1d(first.generator, other.generator)) - 90) < 40


def test_no_row_prefers_a_split():
    """Over 400 seeds each row is in `generator` 120 times on average; 4.5 sigma over 100 rows: 1 in 1,500."""
    hits = np.zeros(100)
    for seed in range(400):
        hits[split(100, FRACTIONS, seed).generator] += 1
    assert np.abs(hits - 120).max() < 4.5 * np.sqrt(400 * 0.3 * 0.7)


def test_without_labels_is_the_same_as_one_class():
    plain, one_class = split(500, FRACTIONS, 5), split(500, FRACTIONS, 5, np.zeros(500, np.int64))
    assert all(np.array_equal(a, b) for a, b in zip(plain, one_class, strict=True))


def test_labels_balance_the_classes_to_within_a_row():
    labels = np.repeat(np.arange(4), [17, 230, 400, 353])
    for part, fraction in zip(split(1_000, FRACTIONS, 2, labels), (0.3, 0.3, 0.1, 0.3), strict=True):
        counts = np.bincount(labels[part], minlength=4)
        assert np.abs(counts - fraction * np.array([17, 230, 400, 353])).max() <= 2


def test_classes_are_balanced_without_a_fixed_pattern():
    labels = np.repeat([0, 1], 50)
    assert not np.array_equal(split(100, FRACTIONS, 0, labels).generator, split(100, FRACTIONS, 1, labels).generator)


@pytest.mark.parametrize(
    ("num_rows", "config", "message"),
    [
        (4, FRACTIONS, r"data\.generator_fraction = 0\.3 of 4 rows is 1"),
        (
            100,
            FRACTIONS.model_copy(update={"classifier_fraction": 0.01}),
            r"data\.classifier_fraction = 0\.01 of 100 rows is 1",
        ),
        (10, FRACTIONS, r"data\.calibration_fraction = 0\.1 of 10 rows is 1"),
        (
            100,
            FRACTIONS.model_copy(update={"calibration_fraction": 0.39}),
            r"calibration_fraction leave 1 of 100 rows for the evaluation",
        ),
        (0, FRACTIONS, r"of 0 rows is 0"),
    ],
)
def test_too_few_rows_name_the_field(num_rows: int, config: DataConfig, message: str):
    with pytest.raises(ConfigError, match=message):
        split(num_rows, config, 0)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"\(100,\), got \(99,\)"):
        split(100, FRACTIONS, 0, np.zeros(99, np.int64))
