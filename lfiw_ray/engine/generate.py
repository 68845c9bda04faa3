"""Generate one shard of samples: noise, forward passes, Parquet, done mark.

The next batch is computed while the one before it is encoded, in a thread of its own, and the next shard while the one
before it is committed (checksum, write, fsync), where the worker is called from two threads.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from lfiw_ray.engine.external import TRAINED_HERE, Source, open_generator
from lfiw_ray.engine.pool import Done
from lfiw_ray.errors import GeneratorError
from lfiw_ray.models.fast_sampling import EAGER, FastSampler, Speed
from lfiw_ray.models.foreign import ForeignCode
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import ParquetBuffer, samples_schema, samples_table

AT_ONCE = 2  # shards in an actor's hands: one is computed, one is committed
_KEPT = "finished shards are kept: mend the generator and run again"


class GenerateWorker:
    """Samples of a finished generator.

    Parameters
    ----------
    generator_url : folder of the generator.
    table : where the samples go.
    stream : random stream of the samples; separate tables of one run have separate streams.
    batch_size : samples a forward pass; batches start at multiples of it.
    source : where the generator comes from, when it was made elsewhere.
    speed : how samples are made, by a model that was trained here.
    """

    def __init__(
        self,
        generator_url: str,
        table: Table,
        stream: str,
        seed: int,
        batch_size: int,
        device: str,
        source: Source = TRAINED_HERE,
        speed: Speed = EAGER,
    ):
        self._sampler, self._shape = open_generator(generator_url, source, device)
        if speed != EAGER:
            self._sampler = FastSampler(self._sampler, speed, batch_size)  # type: ignore[arg-type]
        self._table, self._stream, self._seed, self._batch_size = table, stream, seed, batch_size
        self._computing = threading.Lock()  # one shard at a time: models keep caches

    def run_shard(self, shard: int) -> Done:
        """Generate and commit a shard; one that is committed already is left alone.

        Raises
        ------
        GeneratorError
            Naming the sample ids for which the generator raised, or gave what is not images of the run.
        """
        start, stop = self._table.layout.bounds(shard)
        if self._table.is_done(shard):
            return Done.of(self._table.mark(shard), made=False)
        with ThreadPoolExecutor(1) as writer:
            with self._computing:
                buffer, waiting = self._compute(start, stop, writer)
            waiting.result()
            mark = shards.commit(self._table.folder, shard, self._table.plan, buffer.rows, buffer.finish())
        return Done.of(mark, made=True)

    def _compute(self, start: int, stop: int, writer: ThreadPoolExecutor) -> tuple[ParquetBuffer, "Future[None]"]:
        """Sample the ids start .. stop; returns the buffer and the encoding of the last batch, perhaps not over yet."""
        buffer: ParquetBuffer | None = None
        waiting: Future[None] | None = None
        for low in range(start, stop, self._batch_size):
            sample_ids = np.arange(low, min(low + self._batch_size, stop), dtype=np.int64)
            x, labels = self._sample(sample_ids)
            buffer = buffer or ParquetBuffer(samples_schema(self._shape, labels is not None))
            if waiting:
                waiting.result()
            waiting = writer.submit(_encode, buffer, sample_ids, x, labels)
        assert buffer is not None
        assert waiting is not None
        return buffer, waiting

    def _sample(self, sample_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and labels of a batch, checked."""
        ids, args = f"sample ids {sample_ids[0]}..{sample_ids[-1]}", (sample_ids, self._seed, self._stream)
        label = getattr(self._sampler, "sample_labels", None)
        with ForeignCode(f"the generator failed for {ids} ({_KEPT})"):
            x = self._sampler.sample(*args)
            labels = None if label is None else label(*args)
        wanted = (len(sample_ids), *self._shape)
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.shape != wanted:
            raise GeneratorError(f"the generator gave {_shown(x)} for {ids}, {wanted} uint8 is needed; {_KEPT}")
        if labels is not None and (labels.dtype.kind not in "iu" or labels.shape != wanted[:1]):
            raise GeneratorError(f"the generator gave labels {_shown(labels)} for {ids}, one integer each; {_KEPT}")
        return x, labels


def _encode(buffer: ParquetBuffer, sample_ids: np.ndarray, x: np.ndarray, labels: np.ndarray | None) -> None:
    buffer.append(samples_table(sample_ids, x, labels))


def _shown(found: object) -> str:
    return f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
