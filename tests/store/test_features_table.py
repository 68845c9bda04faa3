"""Vectors of floats in Parquet: what is written is read, by our code and by plain readers."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lfiw_ray.store.tables import features_schema, features_table, from_parquet, to_parquet, vectors_of


@pytest.mark.parametrize("num_classes", [None, 3])
def test_vectors_survive_to_the_bit(num_classes: int | None, tmp_path: Path) -> None:
    rng, ids = np.random.default_rng(0), np.arange(100, 5100)
    features = rng.normal(size=(5000, 7)).astype(np.float32)
    features[0] = [np.float32(1e-45), -0.0, 3e38, 1, 2, 3, 4]
    probabilities = None if num_classes is None else rng.random((5000, num_classes), dtype=np.float32)
    data = to_parquet(features_table(ids, features, probabilities))
    table = from_parquet(data)
    assert table.schema.equals(features_schema(7, num_classes), check_metadata=True)
    assert json.loads(table.schema.metadata[b"num_features"]) == 7
    assert np.array_equal(vectors_of(table, "features").view(np.uint32), features.view(np.uint32))
    assert np.array_equal(vectors_of(table.slice(4000, 20), "features"), features[4000:4020])
    if probabilities is not None:
        assert np.array_equal(vectors_of(table, "probabilities"), probabilities)
    assert to_parquet(features_table(ids, features, probabilities)) == data
    path = tmp_path / "f.parquet"
    path.write_bytes(data)
    assert pq.read_table(path).column("features").to_pylist()[17] == features[17].tolist()
    assert pq.ParquetFile(path).num_row_groups == 3


def test_no_row() -> None:
    table = from_parquet(to_parquet(features_table(np.arange(0), np.empty((0, 4), np.float32), None)))
    assert vectors_of(table, "features").shape == (0, 4)
