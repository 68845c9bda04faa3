"""Ray tasks over groups of shards, merged as they come in, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import ray

from lfiw_ray.engine.cluster import unwrapped

T = TypeVar("T")


def over_groups(what: str, task: Callable[[list[int]], T], groups: Sequence[list[int]]) -> Iterator[T]:
    """Run `task` once per group on the cluster; yields results in the order of the groups.

    A lost task is run again by Ray; tasks must therefore write the same bytes each time, or nothing.
    """
    with unwrapped(what):
        shared = ray.put(task)  # what it carries goes to each node once
        for reference in [_call.remote(shared, group) for group in groups]:
            yield ray.get(reference)


@ray.remote
def _call(task: Callable[[list[int]], T], group: list[int]) -> T:
    return task(group)
