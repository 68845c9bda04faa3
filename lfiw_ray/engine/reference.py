"""The real rows of a feature space as the evaluation uses them: read once per space, shared by all its tasks."""

from typing import Any

import ray

from lfiw_ray.core import moments
from lfiw_ray.engine.embed import real_features
from lfiw_ray.engine.measure import Reference, reference_of, with_rbf
from lfiw_ray.engine.run import Run
from lfiw_ray.store.moments_file import KeptMoments, read_npz, to_npz


def file_name(extractor: str) -> str:
    """Where mean and covariance of the reference are kept, in the folder of the evaluation."""
    return f"reference-{extractor}.npz"


@ray.remote
def read(run: Run, extractor: str, about: dict[str, Any], num_rows: int) -> Reference:
    """The reference of a space.

    Parameters
    ----------
    about : the extractor's description.
    num_rows : of the table of real rows.

    Raises
    ------
    DataError
        `evaluate.reference_npz` names a file that does not fit this space.
    """
    config = run.config.evaluate
    url = config.reference_npz.get(extractor)
    made_elsewhere = None if url is None else read_npz(url, about["num_features"])
    rows, others = real_features(run, extractor, num_rows)
    found = reference_of(about, rows, others, config.num_neighbours)._replace(made_elsewhere=made_elsewhere)
    return found if config.kid_rbf is None else with_rbf(found, config.kid_rbf)


@ray.remote
def kept(real: Reference) -> bytes:
    """The file of its mean and covariance."""
    about = real.description
    found = KeptMoments(*moments.finish(real.moments))
    return to_npz(found, real.moments.num_rows, about["name"], about["weights_sha256"])
