"""Experiments whose storage fails."""

from pathlib import Path

import pytest
from ray import tune

from lfiw_ray.engine.experiment import run_trials
from lfiw_ray.errors import StoreError


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_storage_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=f"cannot keep trials in {tmp_path}/file/tune/mine: .*folder is needed"):
        run_trials(lambda config: tune.report({"y": config["x"]}), {"x": 1}, {}, "mine", f"{tmp_path}/file/tune")
