"""Ray tasks over groups of shards, in bounded memory of the driver."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import ray

from lfiw_ray.engine import metrics
from lfiw_ray.engine.cluster import unwrapped

T = TypeVar("T")


def over_groups(what: str, task: Callable[[list[int]], T], groups: Sequence[list[int]]) -> Iterator[T]:
    """Run `task` once per group on the cluster; yields results in the order of the groups.

    A lost task is run again by Ray; tasks must therefore write the same bytes each time, or nothing.
    """
    with unwrapped(what):
        shared = ray.put(task)  # what it carries goes to each node once
        for reference in [_call.remote(what, shared, group) for group in groups]:
            yield ray.get(reference)


def merged(what: str, task: Callable[[list[int]], T], groups: Sequence[list[int]], merge: Callable[[T, T], T]) -> T:
    """Run `task` once per group and merge the results pairwise on the cluster, neighbours first; returns the last.

    The driver sees one result, however many groups there are.
    """
    with unwrapped(what):
        shared, join = ray.put(task), ray.put(merge)
        level = [_call.remote(what, shared, group) for group in groups]
        while len(level) > 1:
            level = [_merge.remote(join, *pair) for pair in _pairs(level)]
        result: T = ray.get(level[0])
        return result


def _pairs(level: list["ray.ObjectRef[T]"]) -> list[tuple["ray.ObjectRef[T]", ...]]:
    return [tuple(level[low : low + 2]) for low in range(0, len(level), 2)]


@ray.remote
def _merge(join: Callable[[T, T], T], first: T, second: T | None = None) -> T:
    return first if second is None else join(first, second)


@ray.remote
def _call(what: str, task: Callable[[list[int]], T], group: list[int]) -> T:
    result = task(group)
    metrics.count("lfiw_tasks_total", 1, work=what)
    return result
