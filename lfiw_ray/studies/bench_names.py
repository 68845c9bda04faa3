"""The benchmarks by name."""

from lfiw_ray.studies.bench import Row

NAMES = ("resample",)


def run(name: str, quick: bool, folder_url: str | None) -> list[Row]:
    """All rows of one benchmark.

    Modules are imported when they run: the driver's memory is measured before torch, a peer, is loaded.
    """
    if name not in NAMES:
        raise ValueError(f"a benchmark is one of {', '.join(NAMES)}, got {name!r}")
    from lfiw_ray.studies import bench_pool

    rows = bench_pool.in_shards(quick, folder_url)
    from lfiw_ray.studies import bench_resample

    return rows + bench_resample.at_hand(quick)
