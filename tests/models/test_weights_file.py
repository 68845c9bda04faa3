"""Weights files: whatever is wrong with one, the failure is an expected one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lfiw_ray.errors import DataError
from lfiw_ray.models import weights_file


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:.*")  # of torch, about what it finds in a damaged file
def test_damage_anywhere_is_an_expected_failure(legacy: bool, tmp_path: Path) -> None:
    """Cut or with some bytes changed: refused as damaged, or numbers changed in a file that is still whole."""
    state = {"a.weight": torch.ones(5, 3), "b": torch.zeros(4)}
    torch.save(state, tmp_path / "whole", _use_new_zipfile_serialization=not legacy)
    whole, rng = (tmp_path / "whole").read_bytes(), np.random.default_rng(0)
    refused = 0
    for trial in range(300):
        data = np.frombuffer(whole, np.uint8).copy()
        if trial % 3:
            data[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        else:
            data = data[: rng.integers(0, len(data))]
        try:
            weights_file.tensors(data.tobytes(), tmp_path / "damaged", "field")
        except DataError:
            refused += 1
    assert refused > 150
