"""FID, KID and Inception Score of the same images by us and by torch-fidelity, for the benchmark.

Both have one thread.  Ours goes image -> features -> mergeable sums -> numbers, in as many parts as there are
workers; only the KID's subsets need all features in one place.  torch-fidelity's `calculate_metrics` does all of it in
one call, with its defaults for subsets and splits unless the sets are smaller.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lfiw_ray.core import frechet, inception_score, kernel_distance, moments, noise
from lfiw_ray.core.inception_score import ScoreState
from lfiw_ray.core.moments import Moments
from lfiw_ray.models.extractors import Extracted, Extractor
from lfiw_ray.models.torchvision_ops import load_torch_fidelity
from lfiw_ray.store.tables import features_table, from_parquet, to_parquet, vectors_of

Build = Callable[[], Extractor]


class Part(NamedTuple):
    """Some images of a set: features (N, D) float32, and sums that merge."""

    features: np.ndarray
    moments: Moments
    score: ScoreState | None


class Subsets(NamedTuple):
    """Of the KID: how many, and of how many rows."""

    num: int
    size: int


def part_of(found: Extracted) -> Part:
    """The sums of rows in a feature space."""
    p = found.probabilities
    return Part(found.features, moments.of(found.features), None if p is None else inception_score.of(p))


def merged(parts: Sequence[Part]) -> Part:
    """Parts of one set as one."""
    scores = [part.score for part in parts if part.score is not None]
    return Part(
        np.concatenate([part.features for part in parts]),
        reduce(moments.merge, (part.moments for part in parts)),
        reduce(inception_score.merge, scores) if scores else None,
    )


def from_images(build: Build, *sets: np.ndarray) -> list[Part]:
    """Each set of images (N, H, W, C) uint8 in a feature space, the extractor built for it."""
    extractor = build()
    return [part_of(extractor.extract(x)) for x in sets]


def write_features(build: Build, folder: Path, **sets: np.ndarray) -> None:
    """Our table of features of each set of images, a file of its name."""
    extractor = build()
    for name, x in sets.items():
        data = to_parquet(features_table(np.arange(len(x)), *extractor.extract(x)))
        (folder / f"{name}.parquet").write_bytes(data)


def from_tables(*paths: Path) -> list[Part]:
    """The same from tables of features."""
    found = []
    for path in paths:
        table = from_parquet(path.read_bytes())
        p = vectors_of(table, "probabilities") if "probabilities" in table.column_names else None
        found.append(part_of(Extracted(vectors_of(table, "features"), p)))
    return found


def fid_and_score(generated: Sequence[Part], real: Sequence[Part]) -> dict[str, float]:
    """The numbers that need the sums alone."""
    a, b = merged(generated), merged(real)
    fid = {"fid": frechet.distance(b.moments, a.moments)}
    return fid if a.score is None else {**fid, "inception_score": inception_score.finish(a.score)}


def kid(generated: Sequence[Part], real: Sequence[Part], subsets: Subsets) -> dict[str, float]:
    """The number that needs the features."""
    a, b = (np.concatenate([part.features for part in parts]) for parts in (generated, real))
    rng = noise.generator(0, "bench-evaluate/subsets")
    return {"kid": kernel_distance.subsets(b, a, None, rng, subsets.num, subsets.size).mean}


def numbers(parts: Sequence[Part], subsets: Subsets) -> dict[str, float]:
    """All numbers of two sets: generated, real."""
    generated, real = parts
    return {**fid_and_score([generated], [real]), **kid([generated], [real], subsets)}


class Images(torch.utils.data.Dataset[torch.Tensor]):
    """Images (N, H, W, C) uint8 as torch-fidelity takes them, one by one."""

    def __init__(self, x: np.ndarray):
        self._x = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self._x[row]


def by_torch_fidelity(
    generated: np.ndarray, real: np.ndarray, subsets: Subsets, device: str, isc: bool, **options: Any
) -> dict[str, float]:
    """The same numbers by torch-fidelity; its loader in this process, so that it has no more cores than ours.

    Parameters
    ----------
    options : of `calculate_metrics`: the extractor, its weights, a cache.
    """
    fidelity = load_torch_fidelity()
    found = fidelity.calculate_metrics(
        input1=Images(generated), input2=Images(real), cuda=device == "cuda", save_cpu_ram=True, verbose=False,
        fid=True, kid=True, isc=isc, kid_subsets=subsets.num, kid_subset_size=subsets.size, **options,
    )  # fmt: skip
    ours = {"fid": "KEY_METRIC_FID", "kid": "KEY_METRIC_KID_MEAN", "inception_score": "KEY_METRIC_ISC_MEAN"}
    names = {name: getattr(fidelity, key) for name, key in ours.items()}
    return {name: found[key] for name, key in names.items() if key in found}
