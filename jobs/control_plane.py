"""What a shard costs the driver when it is no work: seconds and memory, at several numbers of shards.

python jobs/control_plane.py --num-shards 1000 --num-shards 5000 [--num-marks 10000 --num-marks 100000] [--json FILE]

100,000 shards take about an hour, 100,000 marks a minute.  Needs Linux.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from job import stop_when_told

from lfiw_ray.argv import count
from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.cluster import connected
from lfiw_ray.errors import LfiwError
from lfiw_ray.studies import control_plane
from lfiw_ray.studies.control_plane import Sized


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-shards", type=count, action="append", metavar="N", help="shards to hand out; repeatable")
    parser.add_argument("--num-marks", type=count, action="append", metavar="N", help="done marks to read; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return parser.parse_args()


def _lines(what: str, found: list[Sized]) -> list[str]:
    lines = [
        f"{what}: {one['num_shards']:9,.0f}  {one['wall_s']:8.1f} s  {one['shards_per_s']:8.0f}/s  "
        f"driver at most {one['peak_bytes'] / 1e6:6.0f} MB, grown by {one['grown_bytes'] / 1e6:6.1f} MB"
        for one in found
    ]
    if len({one["num_shards"] for one in found}) > 1:
        each = 1e3 * control_plane.seconds_a_shard(found)
        lines.append(f"one more: {each:.2f} ms, {control_plane.bytes_a_shard(found):,.0f} bytes of the driver's memory")
    return lines


def main() -> int:
    """Measure; returns the exit code."""
    stop_when_told("its measurements are lost")
    asked = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    sizes = sorted(asked.num_shards or ([] if asked.num_marks else [500, 2000]))
    try:
        marks = [control_plane.read_marks(number) for number in sorted(asked.num_marks or [])]
        with connected(PipelineConfig()):
            shards = [control_plane.schedule(number) for number in sizes]
    except LfiwError as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    print(*_lines("marks read", marks), *_lines("shards handed out", shards), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps({"marks": marks, "shards": shards}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
