"""Compare our speed with that of others: the same work, the same machine, the same run, in turn.

python jobs/benchmark.py NAME [--quick] [--json FILE] [--folder URL]

Prints a table; --json also writes it.  Exit codes: 0 all goals met, 1 one was missed on this machine, 2 bad input.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from job import stop_when_told

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.cluster import connected, worker_environment
from lfiw_ray.errors import LfiwError
from lfiw_ray.studies.bench_names import NAMES, run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES, help="what is compared")
    parser.add_argument("--quick", action="store_true", help="smaller work, about a minute; goals are for the whole")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to this file")
    parser.add_argument("--folder", metavar="URL", help="where large tables are written, and removed again")
    return parser.parse_args()


def _equal_allocators() -> None:
    """Start over with the memory settings of our workers, which the C library reads once: peers run with them too."""
    wanted = worker_environment()["env_vars"]
    if wanted.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield f"{row['work']}"
        line = f"    ours {row['ours_median']:.4g} {row['unit']}"
        if row["peer"]:
            line += f"   {row['peer']} {row['peer_median']:.4g}   ratio {row['ratio_median']:.2f}"
            line += f" ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
        if row["goal"] is not None:
            line += f"   goal {row['goal']:g}: {'met' if row['met'] else 'MISSED'}"
        yield line


def main() -> int:
    """Run one benchmark; returns the exit code."""
    arguments = _arguments()
    stop_when_told("its measurements are lost")
    _equal_allocators()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    try:
        with connected(PipelineConfig()):
            rows = run(arguments.name, arguments.quick, arguments.folder)
    except LfiwError as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    print(f"\n{rows[0]['machine']}\n", *_table(rows), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    return 1 if any(row["met"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
