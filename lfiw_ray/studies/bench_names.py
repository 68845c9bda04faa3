"""The benchmarks by name."""

import importlib
from collections.abc import Callable

from lfiw_ray.studies.bench import Row

NAMES = ("resample", "generate", "train", "pixelcnn", "evaluate")


def run(name: str, quick: bool, folder_url: str | None) -> list[Row]:
    """All rows of one benchmark.

    Modules are imported when they run: the driver's memory is measured before torch, a peer, is loaded.

    Parameters
    ----------
    folder_url : where large tables are written, for `resample`.
    """
    if name not in NAMES:
        raise ValueError(f"a benchmark is one of {', '.join(NAMES)}, got {name!r}")
    return _resample(quick, folder_url) if name == "resample" else _rows_of(name)(quick)


def _rows_of(name: str) -> Callable[[bool], list[Row]]:
    rows: Callable[[bool], list[Row]] = importlib.import_module(f"lfiw_ray.studies.bench_{name}").rows
    return rows


def _resample(quick: bool, folder_url: str | None) -> list[Row]:
    from lfiw_ray.studies import bench_pool

    rows = bench_pool.in_shards(quick, folder_url)
    from lfiw_ray.studies import bench_resample

    return rows + bench_resample.at_hand(quick)
