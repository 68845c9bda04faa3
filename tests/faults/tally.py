"""What a campaign of faults is judged by: counts of faults and rows, finished work that was done again, memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

ALLOWED_GROWTH = 0.05
ALLOWED_BYTES = 40 * 2**20
SHORTEST_LIFE = 60  # samples


@dataclass
class Tally:
    """Counts by kind of fault, and over all runs."""

    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    resumes: int = 0
    unclear_failures: int = 0
    rows_lost: int = 0
    rows_double: int = 0
    files_that_differ: int = 0
    redone: int = 0

    def table(self) -> str:
        """The counts as text."""
        lines = [f"{'fault':14} injected  survived"]
        lines += [f"{kind:14} {count:8d}  {self.survived[kind]:8d}" for kind, count in sorted(self.injected.items())]
        lines.append(f"{'all':14} {self.injected.total():8d}  {self.survived.total():8d}")
        others = ("runs", "resumes", "unclear_failures", "rows_lost", "rows_double", "files_that_differ", "redone")
        return "\n".join([*lines, *(f"{name.replace('_', ' '):18} {getattr(self, name)}" for name in others)])

    def is_clean(self) -> bool:
        """Whether every fault was survived, without a row lost, double or altered, and nothing was done twice."""
        bad = (self.unclear_failures, self.rows_lost, self.rows_double, self.files_that_differ, self.redone)
        return self.survived == self.injected and not any(bad)


def rows_of(table: Path, num_rows: int) -> tuple[int, int]:
    """Rows that are lost, and that are there more than once, of a table whose sample ids are 0 .. num_rows."""
    ids = [pq.read_table(path, columns=["sample_id"]).column(0).to_numpy() for path in sorted(table.glob("*.parquet"))]
    counts = np.bincount(np.concatenate(ids), minlength=num_rows) if ids else np.zeros(num_rows, np.int64)
    return int((counts[:num_rows] == 0).sum()), int((counts - 1).clip(0).sum()) + int(counts[num_rows:].sum())


def that_differ(found: Mapping[str, str], wanted: Mapping[str, str]) -> int:
    """Files that only one of two folders has, or that have other bytes there."""
    return sum(found.get(name) != wanted.get(name) for name in {*found, *wanted})


def early_and_late(samples: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    """Bytes of each process in the second quarter of its life and in the last.

    The first quarter is warming up; a life of fewer than `SHORTEST_LIFE` samples says nothing.
    """
    found = {}
    for name, series in samples.items():
        if (quarter := len(series) // 4) >= SHORTEST_LIFE // 4:
            found[name] = float(np.median(series[quarter : 2 * quarter])), float(np.median(series[-quarter:]))
    return found


def told(samples: Mapping[str, Sequence[float]]) -> list[str]:
    """A line for each process that lived long enough for its memory to tell something."""
    return [
        f"{name:18} {len(samples[name])} s, {early / 1e6:.0f} MB, at its end {late / 1e6:.0f} MB"
        for name, (early, late) in early_and_late(samples).items()
    ]


def grown(samples: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    """Those of `early_and_late` whose memory grew."""
    return {
        name: (early, late)
        for name, (early, late) in early_and_late(samples).items()
        if late > early * (1 + ALLOWED_GROWTH) + ALLOWED_BYTES
    }
