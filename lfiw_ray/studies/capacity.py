"""What a pool of any size will take, by rates that were measured: shards, storage, memory, time, money.

Nothing is assumed but proportions, and each line says where its rates are from:

- bytes grow with the rows: bytes a row are those of the done marks of a finished run;
- seconds of the pool's stages grow with the rows and fall with the nodes; those of gathering grow with k; the other
  stages (training, evaluation, studies) take as long as they took;
- a shard costs the driver the seconds and bytes that `studies.control_plane` measured, on any number of nodes, so that
  handing out shards takes over where shards are too small for the cluster;
- an actor takes the memory that was given for it.

What was not measured is said to be unknown, and is left out of what is made of it.
"""

from typing import Any, NamedTuple

from lfiw_ray.errors import ConfigError
from lfiw_ray.store import runs, timings
from lfiw_ray.store.contents import understood
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table, done_marks
from lfiw_ray.studies.control_plane import bytes_a_shard, seconds_a_shard

TABLES = ("samples", "features/samples", "weights", "naive_weights")
PER_ROW = ("training rows", "samples and weights", "diagnostics", "selection")
PER_SELECTED = ("resampled",)
_HOUR_S = 3600.0


class Known(NamedTuple):
    """A number and where it is from."""

    value: float
    source: str


class Rates(NamedTuple):
    """What was measured, of one node; None: not known."""

    bytes_a_row: dict[str, Known]
    """of each table with a row for each sample"""
    pool_s_a_row: Known
    selected_s_a_row: Known | None = None
    fixed_s: Known | None = None
    driver_bytes: Known | None = None
    driver_bytes_a_shard: Known | None = None
    driver_s_a_shard: Known | None = None
    actor_bytes: Known | None = None


class Asked(NamedTuple):
    """What is planned; prices in any currency, None: not priced."""

    num_samples: int
    rows_per_shard: int
    k: int
    nodes: int
    actors_per_node: int
    price_a_node_hour: float | None = None
    price_a_gb_month: float | None = None


class Line(NamedTuple):
    """One quantity of the plan: its name, its value with its unit, and where it is from."""

    name: str
    value: str
    source: str


def rates_of_run(url: str, nodes: int) -> Rates:
    """Rates of a finished run that was made on so many nodes.

    Raises
    ------
    ConfigError
        When the run has no finished pool or no timings.
    """
    folder = Folder(url)
    record, seconds = runs.read_run(folder), timings.read(folder)
    with understood(folder.path(runs.NAME)):
        generate = record["config"]["generate"]
        layout = Layout(int(generate["num_samples"]), int(generate["rows_per_shard"]))
        k = int(record["config"]["resample"]["k"])
        plans = {name: str(record["plans"][name]) for name in TABLES if name in record["plans"]}
    sizes = {name: _bytes_a_row(Table(f"{url}/{name}", each, layout)) for name, each in plans.items()}
    spent = sum(seconds.get(stage, 0.0) for stage in PER_ROW)
    if not spent:
        raise ConfigError(f"{url} has no finished stage of the pool to take a rate from; name a finished run")
    fixed = {stage: took for stage, took in seconds.items() if stage not in (*PER_ROW, *PER_SELECTED)}
    gathered = sum(seconds.get(stage, 0.0) for stage in PER_SELECTED)
    return Rates(
        {name: Known(size, f"done marks of {url}/{name}") for name, size in sizes.items()},
        Known(spent * nodes / layout.num_rows, f"{url}: {layout.num_rows:,} rows in {spent:,.1f} s on {nodes} node(s)"),
        Known(gathered * nodes / k, f"{url}: {k:,} rows in {gathered:,.1f} s on {nodes} node(s)") if gathered else None,
        Known(sum(fixed.values()), f"{url}: {', '.join(fixed)}"),
    )


def with_control_plane(rates: Rates, body: dict[str, Any], source: str) -> Rates:
    """The same with what a shard costs the driver, from the file of `jobs/control_plane.py --json`."""
    with understood(source):
        found = body["shards"]
        largest = max(found, key=lambda one: one["num_shards"])
        driver = largest["peak_bytes"] - bytes_a_shard(found) * largest["num_shards"]
        shard_bytes, shard_s = bytes_a_shard(found), seconds_a_shard(found)
    text = f"{source}: up to {largest['num_shards']:,.0f} shards of no work"
    return rates._replace(
        driver_bytes=Known(driver, text),
        driver_bytes_a_shard=Known(shard_bytes, text),
        driver_s_a_shard=Known(shard_s, text),
    )


def plan(asked: Asked, rates: Rates) -> list[Line]:
    """The lines of the plan, in order."""
    num_shards = Layout(asked.num_samples, asked.rows_per_shard).num_shards
    lines = [
        Line("samples", f"{asked.num_samples:,}", "asked"),
        Line("shards", f"{num_shards:,} of {asked.rows_per_shard:,} rows", "asked"),
        Line("files", f"{2 * num_shards * len(rates.bytes_a_row):,} in the pool's tables", "a table and its marks"),
    ]
    lines += _storage(asked, rates)
    lines += _memory(asked, rates, num_shards)
    seconds = _seconds(asked, rates, num_shards)
    lines += seconds[0]
    return [*lines, *_costs(asked, seconds[1], _total_bytes(asked, rates))]


def _bytes_a_row(table: Table) -> float:
    marks = [(mark.bytes, mark.rows) for mark in done_marks(table)]
    if not marks:
        raise ConfigError(f"{table.url} has no finished shard to take a size from; name a finished run")
    return sum(size for size, _ in marks) / sum(rows for _, rows in marks)


def _total_bytes(asked: Asked, rates: Rates) -> float:
    return asked.num_samples * sum(known.value for known in rates.bytes_a_row.values())


def _storage(asked: Asked, rates: Rates) -> list[Line]:
    lines = [
        Line(f"storage {name}", size_text(asked.num_samples * each), f"{each:,.1f} bytes a row, {source}")
        for name, (each, source) in rates.bytes_a_row.items()
    ]
    return [*lines, Line("storage", size_text(_total_bytes(asked, rates)), "sum")]


def _memory(asked: Asked, rates: Rates, num_shards: int) -> list[Line]:
    if rates.actor_bytes is None:
        lines = [Line("memory of a node", "unknown", "give --actor-gb, the measured memory of an actor")]
    else:
        total = asked.actors_per_node * rates.actor_bytes.value
        lines = [
            Line("memory of a node", size_text(total), f"{asked.actors_per_node} actors, {rates.actor_bytes.source}")
        ]
    if rates.driver_bytes is None or rates.driver_bytes_a_shard is None:
        return [*lines, Line("memory of the driver", "unknown", "give --control-plane")]
    driver = rates.driver_bytes.value + num_shards * max(rates.driver_bytes_a_shard.value, 0.0)
    source = f"{rates.driver_bytes_a_shard.value:,.0f} bytes a shard, {rates.driver_bytes.source}"
    return [*lines, Line("memory of the driver", size_text(driver), source)]


def _seconds(asked: Asked, rates: Rates, num_shards: int) -> tuple[list[Line], float]:
    """Lines of the times, and the whole, seconds."""
    pool_s = asked.num_samples * rates.pool_s_a_row.value / asked.nodes
    lines = [Line("time of the pool", time_text(pool_s), f"{asked.nodes} node(s), {rates.pool_s_a_row.source}")]
    total_s = pool_s
    if rates.driver_s_a_shard is None:
        lines.append(Line("time of handing out", "unknown", "give --control-plane"))
    else:
        handing_s = num_shards * rates.driver_s_a_shard.value
        slower = "; the driver, not the nodes, sets the pace: use larger shards" if handing_s > pool_s else ""
        total_s = max(pool_s, handing_s)
        each = f"{1e3 * rates.driver_s_a_shard.value:.1f} ms a shard, {rates.driver_s_a_shard.source}{slower}"
        lines.append(Line("time of handing out", time_text(handing_s), each))
    for name, known, factor in (
        ("time of gathering", rates.selected_s_a_row, asked.k / asked.nodes),
        ("time of all else", rates.fixed_s, 1.0),
    ):
        if known is None:
            lines.append(Line(name, "unknown", "give --run"))
            continue
        total_s += known.value * factor
        lines.append(Line(name, time_text(known.value * factor), known.source))
    return [*lines, Line("time", time_text(total_s), "the longer of the first two, and the others")], total_s


def _costs(asked: Asked, seconds: float, size_bytes: float) -> list[Line]:
    hours = asked.nodes * seconds / _HOUR_S
    lines = [Line("node hours", f"{hours:,.1f}", f"{asked.nodes} node(s) for the whole time")]
    for name, price, amount, unit in (
        ("cost of nodes", asked.price_a_node_hour, hours, "node hour"),
        ("cost of storage a month", asked.price_a_gb_month, size_bytes / 1e9, "GB for a month"),
    ):
        value = "not priced" if price is None else f"{amount * price:,.2f}"
        lines.append(Line(name, value, f"no price of a {unit} was given" if price is None else f"{price:g} a {unit}"))
    return lines


def size_text(size_bytes: float) -> str:
    """`2.50 TB` of 2.5e12."""
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:,.2f} {unit}"
    return f"{size_bytes / 1e3:,.1f} kB"


def time_text(seconds: float) -> str:
    """`3.5 days`, `2.0 h`, `90 s`."""
    if seconds >= 48 * _HOUR_S:
        return f"{seconds / _HOUR_S / 24:,.1f} days"
    return f"{seconds / _HOUR_S:,.1f} h" if seconds >= 2 * _HOUR_S else f"{seconds:,.0f} s"
