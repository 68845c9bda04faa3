"""What a dry run says of the evaluation's features: rows, bytes and seconds of each space."""

import re
from pathlib import Path
from typing import Any

import pytest

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.digest import digest
from lfiw_ray.engine import estimate_evaluation
from lfiw_ray.engine.estimate_extractors import Floats, floats_of
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.run import FitRows, Run
from lfiw_ray.errors import DataError


def lines(**changes: Any) -> list[str]:
    """Of a run of 100,000 samples that compares 3 pools of 500 rows with 800 real ones."""
    evaluate = {"extractors": ["random"], "num_repeats": 3, "num_rows": 500, "rivals": False, **changes.pop("evaluate")}
    config = PipelineConfig.model_validate({"evaluate": evaluate, **changes})
    plans = stage_plans(config, digest("x"))
    run = Run(config, "/none", plans, (8, 8, 1), FitRows(9, 9, 300), 900, 800)
    return estimate_evaluation.storage(run) + [time.line for time in estimate_evaluation.times(run)]


def test_rows_bytes_and_seconds() -> None:
    """8 arms of 500 rows in 3 pools, and the real rows of the reference and of the floor."""
    stored, seconds = lines(evaluate={})
    assert " ".join(stored.split()) == "embed random at most 1,300 real and 12,000 generated rows, 4 MB"
    assert re.fullmatch(r"time +embed random about [\d,]+ s at [\d,]+ rows/s an actor, 2 actor\(s\)", seconds)
    assert "2 MB" in lines(evaluate={"feature_dtype": "float16"})[0]
    assert "45,000 generated" not in lines(evaluate={"rivals": True})[0]
    assert "1,300 real and 22,500 generated" in lines(evaluate={"rivals": True})[0]


def test_no_more_rows_than_there_are() -> None:
    small = {"generate": {"num_samples": 9000}, "resample": {"k": 10}}
    assert "1,300 real and 9,000 generated" in lines(evaluate={}, **small)[0]


def test_all_samples_are_counted_where_they_are_one_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_evaluation, "rows_per_s", lambda *_: 100.0)
    _, whole, seconds = lines(evaluate={"whole_pool": True})
    assert " ".join(whole.split()) == "whole pool random 100,000 rows, 0 MB of sums"
    assert "about 566 s at 100 rows/s" in seconds
    assert "about 66 s" in lines(evaluate={})[1]


def test_the_classifiers_own_features_are_not_extracted_again() -> None:
    features = {"classifier": {"input": "features", "extractor": "random"}}
    stored, _ = lines(evaluate={}, **features)
    assert "at most 1,300 real rows" in stored


def test_weights_that_would_be_downloaded_are_not(tmp_path: Path) -> None:
    inception, _, time, other = lines(evaluate={"extractors": ["inception", "dinov2-vit-b-14"]})
    assert "163 MB" in inception  # 13,300 rows of 2,048 + 1,008 numbers
    assert time.endswith(
        "not estimated, since a dry run downloads no weights; name a file in evaluate.inception_weights"
    )
    assert "evaluate.extractor_weights" in other
    with pytest.raises(DataError, match=r"none\.pth"):
        lines(evaluate={"extractors": ["inception"], "inception_weights": str(tmp_path / "none.pth")})
    assert "not estimated for GPUs" in lines(evaluate={}, num_gpus=1.0)[1]


def test_the_sizes_of_spaces() -> None:
    assert floats_of("domain") == Floats(64, 10)
    assert floats_of("vgg16") == Floats(4096, 0)
    assert floats_of("clip-vit-b-32") == Floats(512, 0)
    assert floats_of("dinov2-vit-g-14") == Floats(1536, 0)
