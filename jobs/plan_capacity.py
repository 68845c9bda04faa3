"""Shards, storage, memory, time and cost of a pool of any size, from rates that were measured; prices by flags.

python jobs/plan_capacity.py --num-samples 1e10 --run runs/default --nodes 16 --price-node-hour P
python jobs/control_plane.py --num-shards 1000 --num-shards 5000 --json shards.json    # for --control-plane
"""

import argparse
import json
import sys
from pathlib import Path

from lfiw_ray.argv import amount, positive
from lfiw_ray.errors import ConfigError, LfiwError
from lfiw_ray.places import refusal
from lfiw_ray.studies.capacity import Asked, Known, Line, Rates, plan, rates_of_run, with_control_plane


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-samples", type=amount, required=True, metavar="N", help="samples in the pool")
    parser.add_argument("--rows-per-shard", type=amount, default=65_536, metavar="N", help="samples a shard (65,536)")
    parser.add_argument("--k", type=amount, default=10_000, metavar="N", help="rows selected (10,000)")
    parser.add_argument("--nodes", type=amount, default=1, metavar="N", help="nodes of the planned cluster (1)")
    parser.add_argument("--actors-per-node", type=amount, default=2, metavar="N", help="actors of all pools (2)")
    parser.add_argument("--run", metavar="URL", help="finished run to take rates and sizes from")
    parser.add_argument("--run-nodes", type=amount, default=1, metavar="N", help="nodes that run was made on (1)")
    parser.add_argument("--control-plane", type=Path, metavar="FILE", help="JSON of jobs/control_plane.py")
    parser.add_argument("--pool-rows-per-s", type=positive, metavar="V", help="rows generated and scored by a node")
    parser.add_argument("--bytes-per-sample", type=positive, metavar="V", help="bytes of a sample, and of its weights")
    parser.add_argument("--actor-gb", type=positive, metavar="V", help="measured memory of an actor, GB")
    parser.add_argument("--price-node-hour", type=positive, metavar="P", help="price of a node for an hour")
    parser.add_argument("--price-gb-month", type=positive, metavar="P", help="price of a stored GB for a month")
    return parser.parse_args()


def _rates(asked: argparse.Namespace) -> Rates:
    """Rates of the run; flags win over it."""
    if asked.run is None and not (asked.pool_rows_per_s and asked.bytes_per_sample):
        raise ConfigError("no rates: give --run, a finished run, or both --pool-rows-per-s and --bytes-per-sample")
    if asked.run is not None and (reason := refusal(asked.run)):
        raise ConfigError(f"--run: refused address: {reason}")
    rates = rates_of_run(asked.run, asked.run_nodes) if asked.run else Rates({}, Known(0.0, ""))
    if asked.pool_rows_per_s:
        rates = rates._replace(pool_s_a_row=Known(1 / asked.pool_rows_per_s, "flag --pool-rows-per-s"))
    if asked.bytes_per_sample:
        rates = rates._replace(bytes_a_row={"pool": Known(asked.bytes_per_sample, "flag --bytes-per-sample")})
    if asked.actor_gb:
        rates = rates._replace(actor_bytes=Known(1e9 * asked.actor_gb, "flag --actor-gb"))
    if asked.control_plane is None:
        return rates
    try:
        body = json.loads(asked.control_plane.read_bytes())
    except (OSError, ValueError) as err:
        raise ConfigError(f"--control-plane: {asked.control_plane} cannot be read: {err}") from err
    return with_control_plane(rates, body, str(asked.control_plane))


def _text(line: Line) -> str:
    return f"{line.name:26s} {line.value:>26s}   {line.source}"


def main() -> int:
    """Plan; returns the exit code."""
    asked = _arguments()
    wanted = Asked(
        asked.num_samples,
        asked.rows_per_shard,
        asked.k,
        asked.nodes,
        asked.actors_per_node,
        asked.price_node_hour,
        asked.price_gb_month,
    )
    try:
        lines = plan(wanted, _rates(asked))
    except LfiwError as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    print(*map(_text, lines), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
