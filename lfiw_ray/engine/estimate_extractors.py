"""Feature spaces as an estimate sees them: how much of a row they keep, and how fast they are on this machine."""

from typing import NamedTuple

import numpy as np

from lfiw_ray.engine.estimate_time import seconds_of
from lfiw_ray.engine.features import build_extractor
from lfiw_ray.engine.run import Run
from lfiw_ray.models import domain, extractors, fidelity_extractors, inception, random_features
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.extractors import Extractor

CLASSES = 10  # assumed of the data


class Floats(NamedTuple):
    """Numbers that are kept of a row: features, and probabilities where classes are known."""

    features: int
    probabilities: int


def floats_of(name: str) -> Floats:
    """Of a feature space of the configuration."""
    known = {
        "domain": Floats(domain.NUM_FEATURES, CLASSES),
        "random": Floats(random_features.NUM_FEATURES, 0),
        "inception": Floats(inception.NUM_FEATURES, inception.NUM_CLASSES),
    }
    return known.get(name) or Floats(fidelity_extractors.num_features(name), 0)


def at_hand(run: Run, name: str) -> Extractor | None:
    """One of the size of the run's, untrained where that costs the same; None where its weights would be downloaded."""
    if name == "domain":
        return extractors.domain(DomainNet(run.image_shape, num_classes=CLASSES))
    config = run.config.evaluate
    local = config.inception_weights if name == "inception" else config.extractor_weights.get(name)
    return build_extractor(run, name) if name == "random" or local else None


def rows_per_s(extractor: Extractor, image_shape: tuple[int, int, int]) -> float:
    """Images that it takes in a second, with the threads that torch has."""
    x = np.zeros((extractor.batch_size, *image_shape), np.uint8)
    return len(x) / seconds_of(lambda: extractor.extract(x))
