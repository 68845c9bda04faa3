"""From the configuration to the images of a run."""

from lfiw_ray.config import DataConfig
from lfiw_ray.data.binarised import load_binarised
from lfiw_ray.data.embedded_set import load_embedded
from lfiw_ray.data.folder import load_folder
from lfiw_ray.data.image_data import ImageData, fingerprint
from lfiw_ray.data.named import load_named
from lfiw_ray.data.omniglot import load_omniglot
from lfiw_ray.data.tables import TestRows, load_tables
from lfiw_ray.errors import ConfigError

__all__ = ["ImageData", "fingerprint", "load"]


def load(config: DataConfig) -> ImageData:
    """All rows of the configured data set, in its own order.

    For a named set these are the published training rows followed by its test rows; `splits.split` draws the
    run's four splits from all of them.

    Returns
    -------
    ImageData : x (N, H, W, C) uint8; labels (N,) int64, or None where the set has none.

    Raises
    ------
    ConfigError : `data.path` is missing or not allowed for this set; a column that does not exist.
    DataError : files that are missing, truncated or altered; images that differ in shape or cannot be read.
    """
    if config.name == "embedded":
        if config.path is not None:
            raise ConfigError(f"data.path {config.path!r}: the embedded data are in the package; leave it out")
        return load_embedded()
    if config.name in ("fashion-mnist", "mnist", "cifar10"):
        return load_named(config.name, config.path)
    if config.path is None:
        raise ConfigError(f"data.path: needed for data.name = {config.name!r}; a path or any fsspec URL")
    if config.name == "binarized-mnist":
        return load_binarised(config.path)
    if config.name == "omniglot":
        return load_omniglot(config.path)
    if config.name == "images":
        return load_folder(config.path)
    test = None if config.test_column is None else TestRows(config.test_column, config.test_value)
    return load_tables(config.path, config.image_column, config.label_column, test)
