"""Stage: write the selected rows into `resampled/<name>/`, in parallel, reading only their row groups.

Tasks share the selected rows evenly, however few shards of the pool they come from.
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from lfiw_ray.core.selection import Selection
from lfiw_ray.engine.groups import over_groups
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.resample import read_selection
from lfiw_ray.engine.run import Run
from lfiw_ray.store import shards, stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table, groups
from lfiw_ray.store.tables import image_array, resampled_schema, to_parquet

ROWS_PER_FILE = 8192


def gather(run: Run) -> dict[str, Any]:
    """Gather every selection's rows, unless it is done; returns rows and files per selection."""
    folder, plan = run.folder("resampled"), run.plans["resampled"]
    if (done := stages.finished(folder, plan)) is not None:
        return done
    result: dict[str, Any] = {}
    for name in run.config.resample.names:
        selection = read_selection(run, name)
        out = resampled_table(run, name, len(selection.sample_ids))
        parts = groups(shards.pending(out), run.config.resample.num_tasks) if shards.pending(out) else []
        task = partial(_gather_files, run.table("samples"), out, selection, run.image_shape)
        for _ in over_groups(f"gathering {name}", task, parts):
            pass
        result[name] = {"rows": len(selection.sample_ids), "files": out.layout.num_shards}
    return stages.finish(folder, plan, {}, result)


def resampled_table(run: Run, name: str, num_rows: int) -> Table:
    """The resampled table of a selection; its shards hold consecutive rows of it."""
    return Table(run.folder("resampled").child(name).url, run.plans["resampled"], Layout(num_rows, ROWS_PER_FILE))


def _gather_files(
    samples: Table, out: Table, selection: Selection, image_shape: tuple[int, int, int], files: list[int]
) -> int:
    """Write some files of a resampled table."""
    for file in files:
        rows = slice(*out.layout.bounds(file))
        sample_ids = selection.sample_ids[rows]
        x = gather_images(samples, sample_ids)
        columns = [sample_ids, image_array(x), selection.multiplicity[rows], selection.weight[rows]]
        table = pa.Table.from_arrays(
            [c if isinstance(c, pa.Array) else pa.array(np.ascontiguousarray(c)) for c in columns],
            schema=resampled_schema(image_shape),
        )
        shards.commit(Folder(out.url), file, out.plan, table.num_rows, to_parquet(table))
    return len(files)
