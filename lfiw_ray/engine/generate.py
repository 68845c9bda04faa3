"""Generate one shard of samples: noise, forward passes, Parquet, done mark.

The next batch is computed while the one before it is encoded, in a thread of its own.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from lfiw_ray.engine.models import load_model
from lfiw_ray.errors import NonFiniteError
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import ParquetBuffer, samples_schema, samples_table


class GenerateWorker:
    """Samples of a finished generator.

    Parameters
    ----------
    generator_url : folder of the generator.
    table : where the samples go.
    stream : random stream of the samples; separate tables of one run have separate streams.
    batch_size : samples a forward pass; batches start at multiples of it.
    """

    def __init__(self, generator_url: str, table: Table, stream: str, seed: int, batch_size: int, device: str):
        self._model = load_model(generator_url).to(device)
        self._table, self._stream, self._seed, self._batch_size = table, stream, seed, batch_size

    def run_shard(self, shard: int) -> int:
        """Generate and commit a shard; one that is committed already is left alone."""
        start, stop = self._table.layout.bounds(shard)
        if self._table.is_done(shard):
            return stop - start
        buffer: ParquetBuffer | None = None
        waiting: Future[None] | None = None
        with ThreadPoolExecutor(1) as writer:
            for low in range(start, stop, self._batch_size):
                sample_ids = np.arange(low, min(low + self._batch_size, stop), dtype=np.int64)
                x = self._sample(sample_ids)
                height, width, channels = x.shape[1:]
                buffer = buffer or ParquetBuffer(samples_schema((height, width, channels)))
                if waiting:
                    waiting.result()
                waiting = writer.submit(buffer.append, samples_table(sample_ids, x))
            assert buffer is not None
            assert waiting is not None
            waiting.result()
            shards.commit(self._table.folder, shard, self._table.plan, buffer.rows, buffer.finish())
        return stop - start

    def _sample(self, sample_ids: np.ndarray) -> np.ndarray:
        x: np.ndarray = self._model.sample(sample_ids, self._seed, self._stream)  # type: ignore[operator]
        if x.dtype != np.uint8 or x.ndim != 4 or len(x) != len(sample_ids):
            raise NonFiniteError(
                f"the generator gave {x.dtype} of shape {x.shape} for sample ids {sample_ids[0]}..{sample_ids[-1]}; "
                f"({len(sample_ids)}, H, W, C) uint8 is needed"
            )
        return x
