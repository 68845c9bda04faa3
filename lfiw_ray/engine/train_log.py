"""Metrics of a training run: a line an epoch in the log, and TensorBoard event files in the run folder."""

import logging
import tempfile
import time
from pathlib import Path

import torch
from tensorboardX import SummaryWriter

from lfiw_ray.engine import metrics
from lfiw_ray.engine.progress import duration, seconds_between_lines
from lfiw_ray.store.folder import Folder

log = logging.getLogger(__name__)

_STEPS = "steps"  # the sum that counts them


class TrainLog:
    """Collects metrics; only worker 0 writes."""

    def __init__(self, name: str, num_epochs: int, folder: Folder, *, writes: bool):
        self._name, self._num_epochs, self._folder, self._writes = name, num_epochs, folder, writes
        self._sums: dict[str, torch.Tensor] = {}
        self._began = self._said = time.monotonic()
        self._line_s = seconds_between_lines()

    def __enter__(self) -> "TrainLog":
        if self._writes:
            self._local = tempfile.TemporaryDirectory(prefix="lfiw-events-")
            self._writer = SummaryWriter(self._local.name)
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes:
            self.publish()
            self._writer.close()
            self._local.cleanup()

    def add(self, metrics: dict[str, torch.Tensor]) -> None:
        """Take in the metrics of a step; they stay on the device until the epoch ends."""
        for name, value in {**metrics, _STEPS: torch.ones(())}.items():
            now = value.detach().float()
            self._sums[name] = self._sums[name] + now if name in self._sums else now

    def step(self, step: int, num_steps: int) -> None:
        """After a step: now and then a line within a long epoch, with the means of the epoch so far.

        Parameters
        ----------
        step, num_steps : finished steps, and those of the whole training.
        """
        now = time.monotonic()
        if not self._writes or now - self._said < self._line_s:
            return
        self._said = now
        metrics.show("lfiw_training_step", step, model=self._name)
        sums = self.sums()
        count = sums.pop(_STEPS, 1.0)
        shown = "  ".join(f"{name} {total / count:.4g}" for name, total in sums.items() if name != "lr")
        log.info("%s: step %d of at most %d, %s  %s", self._name, step, num_steps, duration(now - self._began), shown)

    def sums(self) -> dict[str, float]:
        """Sum of each metric since the last epoch, and the number of steps; float32, which JSON keeps bit by bit."""
        return {name: float(total) for name, total in self._sums.items()}

    def resume(self, sums: dict[str, float]) -> None:
        """Go on from the sums of a checkpoint within an epoch."""
        self._sums = {name: torch.tensor(total) for name, total in sums.items()}

    def epoch_means(self) -> dict[str, float]:
        """Mean of each metric since the last call."""
        sums, self._sums = self.sums(), {}
        num_steps = sums.pop(_STEPS, 1.0)
        return {name: total / num_steps for name, total in sums.items()}

    def epoch(self, entry: dict[str, float], stopped: bool) -> None:
        """Log an epoch."""
        if not self._writes:
            return
        self._said = time.monotonic()
        for name, value in entry.items():
            self._writer.add_scalar(name, value, int(entry["step"]))
        self._show_gauges(entry)
        shown = "  ".join(f"{k} {v:.4g}" for k, v in entry.items() if k not in ("epoch", "step", "lr"))
        end = "  stopped: no better held-out loss" if stopped else ""
        seconds = time.monotonic() - self._began
        log.info("%s: epoch %d of %d, %.0f s  %s%s", self._name, entry["epoch"], self._num_epochs, seconds, shown, end)

    def _show_gauges(self, entry: dict[str, float]) -> None:
        metrics.show("lfiw_training_step", entry["step"], model=self._name)
        metrics.show("lfiw_training_epoch", entry["epoch"], model=self._name)
        metrics.show("lfiw_training_epochs_wanted", self._num_epochs, model=self._name)
        for name in (name for name in entry if name.endswith("loss")):
            metrics.show("lfiw_training_loss", entry[name], model=self._name, loss=name)

    def publish(self) -> None:
        """Copy the event files into the run folder."""
        self._writer.flush()
        folder = self._folder.child("tensorboard")
        for file in Path(self._local.name).iterdir():
            folder.write(file.name, file.read_bytes())
