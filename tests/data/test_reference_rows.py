"""Published test rows kept apart, and the real rows that the evaluation compares with."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lfiw_ray.config import DataConfig, PipelineConfig
from lfiw_ray.data.image_data import ImageData, fingerprint
from lfiw_ray.data.load import load
from lfiw_ray.data.reference_rows import ReferenceRows, reference_rows
from lfiw_ray.data.splits import Splits, split
from lfiw_ray.errors import ConfigError, DataError

TRAIN, TEST = 500, 100
X = np.zeros((TRAIN + TEST, 2, 2, 1), np.uint8)
LABELS = np.arange(TRAIN + TEST) % 4


def config(**sections: Any) -> PipelineConfig:
    return PipelineConfig.model_validate(sections)


def chosen(num_test: int | None = TEST, **sections: Any) -> tuple[Splits, ReferenceRows]:
    used = config(**sections)
    data = ImageData(X, LABELS, "toy", None, num_test)
    splits = split(len(X), used.data, 0, LABELS, num_test)
    return splits, reference_rows(data, splits, used)


def test_apart_no_model_sees_a_test_row() -> None:
    splits, _ = chosen(data={"test_rows": "apart"})
    assert np.array_equal(splits.evaluation, np.arange(TRAIN, TRAIN + TEST))
    used = np.concatenate(splits[:3])
    assert used.max() < TRAIN
    assert len(np.unique(used)) == len(used) == 175 + 175 + 50  # the fractions are of the training rows
    assert [np.bincount(LABELS[part], minlength=4).tolist() for part in splits[2:3]] == [[13, 13, 12, 12]]


def test_apart_all_training_rows_may_be_used() -> None:
    whole = {"test_rows": "apart", "generator_fraction": 0.5, "classifier_fraction": 0.4, "calibration_fraction": 0.1}
    splits, _ = chosen(data=whole)
    assert np.array_equal(np.sort(np.concatenate(splits)), np.arange(TRAIN + TEST))
    with pytest.raises(ValueError, match=r"the three fractions sum to 1; less than 1 must leave rows"):
        config(data=whole | {"test_rows": "mixed"})
    with pytest.raises(ValueError, match=r"fractions of the training rows sum to 1\.1, which is more than 1"):
        config(data=whole | {"generator_fraction": 0.6})


def test_mixed_is_as_if_there_were_no_division() -> None:
    for mixed, plain in zip(chosen()[0], chosen(num_test=None)[0], strict=True):
        assert np.array_equal(mixed, plain)


def test_the_reference_is_the_evaluation_split_by_default() -> None:
    splits, rows = chosen()
    assert np.array_equal(rows.compared, splits.evaluation)
    assert np.array_equal(rows.others, np.concatenate([splits.generator, splits.classifier]))


def test_the_published_rows_as_reference() -> None:
    apart = {"test_rows": "apart"}
    splits, rows = chosen(data=apart, evaluate={"reference": "test"})
    assert np.array_equal(rows.compared, np.arange(TRAIN, TRAIN + TEST))
    assert not set(rows.others) & set(rows.compared)
    _, rows = chosen(data=apart, evaluate={"reference": "train"})
    assert np.array_equal(rows.compared, np.arange(TRAIN))
    assert np.array_equal(rows.others, np.arange(TRAIN, TRAIN + TEST))
    assert np.array_equal(splits.evaluation, rows.others)


def test_some_rows_of_the_reference_are_drawn_by_seed() -> None:
    def drawn(seed: int, n: int) -> np.ndarray:
        return chosen(seed=seed, data={"test_rows": "apart"}, evaluate={"reference": "train", "num_reference": n})[
            1
        ].compared

    first, again, other, more = drawn(0, 50), drawn(0, 50), drawn(1, 50), drawn(0, 10_000)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (np.diff(first) > 0).all()
    assert len(first) == 50
    assert len(more) == TRAIN
    assert first.max() > TRAIN / 2  # not the first ones: false alarm 1e-15


@pytest.mark.parametrize(
    ("num_test", "sections", "message"),
    [
        (
            None,
            {"data": {"test_rows": "apart"}},
            r"data\.test_rows: the data set 'embedded' has no published test rows$",
        ),
        (None, {"evaluate": {"reference": "train"}}, r"evaluate\.reference: the data set 'embedded' has no published"),
        (
            None,
            {"data": {"name": "parquet", "path": "x"}, "evaluate": {"reference": "train"}},
            r"has no published test rows; name their column in data\.test_column",
        ),
        (TEST, {"evaluate": {"reference": "test"}}, r"evaluate\.reference: .*mixed.*set data\.test_rows = apart"),
        (1, {"data": {"test_rows": "apart"}}, r"evaluate\.reference = held_out leaves 1 real rows; at least 2"),
    ],
)
def test_what_the_data_do_not_offer_names_the_field(num_test: int | None, sections: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(num_test, **sections)


def test_the_fingerprint_sees_which_rows_are_test_rows() -> None:
    data = ImageData(X, LABELS, "toy", None)
    assert len({fingerprint(data._replace(num_test=n)) for n in (None, 1, 2)}) == 3


def write(path: Path, marks: Any) -> str:
    x = np.arange(len(marks), dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    images = pa.FixedShapeTensorArray.from_numpy_ndarray(x)
    pq.write_table(pa.table({"image": images, "label": list(range(len(marks))), "batch": marks}), path / "t.parquet")
    return str(path / "t.parquet")


def table(url: str, **fields: Any) -> DataConfig:
    return DataConfig.model_validate({"name": "parquet", "path": url, "label_column": "label", **fields})


@pytest.mark.parametrize("marks", [pa.array([5, 0, 5, 4, 1], pa.int8()), [5, 0, 5, 4, 1]])
def test_a_column_tells_the_test_rows_which_come_last(tmp_path: Path, marks: Any) -> None:
    data = load(table(write(tmp_path, marks), test_column="batch", test_value=5))
    assert data.num_test == 2
    assert data.labels is not None
    assert data.labels.tolist() == data.x[:, 0, 0, 0].tolist() == [1, 3, 4, 0, 2]


def test_a_boolean_column_and_a_label_column_that_tells(tmp_path: Path) -> None:
    url = write(tmp_path, [False, True, True])
    assert load(table(url, test_column="batch")).num_test == 2
    assert load(table(url, test_column="label", test_value=0)).num_test == 1
    assert load(table(url)).num_test is None


@pytest.mark.parametrize(
    ("marks", "fields", "error", "message"),
    [
        ([1, 2], {"test_value": 5}, ConfigError, r"data\.test_value: 0 of 2 rows of .* have batch = 5"),
        ([5, 5], {"test_value": 5}, ConfigError, r"data\.test_value: 2 of 2 rows"),
        ([1, 2], {"test_column": "b"}, ConfigError, r"data\.test_column: .*t\.parquet has no column 'b'"),
        ([1.0, 2.0], {}, DataError, r"batch is of type double; data\.test_column must hold integers or booleans"),
        ([1, None], {}, DataError, r"t\.parquet, row 1: batch is null"),
    ],
)
def test_a_column_that_does_not_tell(
    tmp_path: Path, marks: Any, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(table(write(tmp_path, marks), **{"test_column": "batch", **fields}))


def test_the_named_sets_end_with_their_test_rows(shared_data: Path) -> None:
    data = load(DataConfig(name="mnist", path=str(shared_data / "mnist")))
    assert (len(data.x), data.num_test) == (70_000, 10_000)
    binary = load(DataConfig(name="binarized-mnist", path=str(shared_data)))
    assert (len(binary.x), binary.num_test) == (70_000, 10_000)
