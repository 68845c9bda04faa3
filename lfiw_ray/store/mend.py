"""Find what was torn or altered anywhere below a folder, whatever plan made it, and make it pending again.

For folders whose stages and tables are named by plans or settings that are not at hand.  A folder is a table when it
holds rows of a shard (`00042.parquet`), and a stage when it holds a done mark; a stage of which something below was
damaged is unfinished too.
"""

from lfiw_ray.errors import ShardError
from lfiw_ray.store import shards, stages
from lfiw_ray.store.folder import Folder


def discard_damaged(folder: Folder, name: str) -> list[str]:
    """Read every byte, and remove marks that do not fit; a line for each, in which the folder is called `name`."""
    lines = []
    for child in folder.folders():
        lines += discard_damaged(folder.child(child), f"{name}/{child}")
    reason = stages.damaged(folder)
    if reason is not None or lines:
        stages.discard(folder)
    for shard, damage in _damaged_shards(folder).items():
        shards.discard(folder, shard)
        lines.append(f"{name}/{shard:05d}: {damage}")
    return lines if reason is None else [*lines, f"{name}: {reason}"]


def _damaged_shards(folder: Folder) -> dict[int, str]:
    files = folder.sizes()
    numbers = sorted(
        int(stem) for stem, _, kind in (file.partition(".") for file in files) if kind == "parquet" and stem.isdigit()
    )
    found = {}
    for shard in numbers:
        if shards.mark_name(shard) not in files:
            continue
        try:
            shards.read_data(folder, shards.read_mark(folder, shard))
        except ShardError as err:
            found[shard] = str(err)
    return found
