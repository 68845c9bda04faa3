"""Configuration of a pool of actors."""

from pydantic import model_validator

from lfiw_ray.section import Section, how


class PoolConfig(Section):
    """A pool of actors."""

    min_actors: int = how(1, "actors at the start", ge=1)
    max_actors: int = how(1, "actors at most; a fixed pool when equal to min_actors", ge=1)
    cpus_per_actor: float = how(0.5, "CPUs each actor reserves", ge=0)
    num_threads: int = how(1, "torch threads of each actor (another number may round differently)", ge=1)

    @model_validator(mode="after")
    def _range_is_ordered(self) -> "PoolConfig":
        if self.max_actors < self.min_actors:
            raise ValueError(f"max_actors ({self.max_actors}) is less than min_actors ({self.min_actors})")
        return self
