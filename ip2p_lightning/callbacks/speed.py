"""Profile of training time: pairs per second, waiting for data, parts of the step, memory, operations a second."""

from __future__ import annotations

import logging
import resource
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ip2p_lightning.cache.store import cached_bytes
from ip2p_lightning.callbacks.cache import EncodingCache, is_sharded
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.training.cost import Cost, whole_run
from ip2p_lightning.training.peaks import peak_flops
from ip2p_lightning.training.step_clock import StepClock

log = logging.getLogger(__name__)

PHASES = ("encoders", "forward", "backward", "optimizer")
"""Conditioner, autoencoder and noising; denoiser and loss; backward pass; clipping, optimizer step and averaging."""
_OTHER = "other"


class Speed(L.Callback):
    """Log speed/* at the trainer's logging interval and one line of it when training ends.

    A step costs five marks (on CUDA five events) and two readings of the host's clock, together some ten microseconds;
    the device is waited for once each time metrics are written, where Lightning waits anyway. Before the first step the
    losses and gradients of its batch are computed once more and thrown away, to count their operations; no random
    number is used up, so training is the same to the bit. What is recomputed to save memory is counted, too.

    Args:
        skip: batches at the beginning that do not count, while kernels are chosen or compiled.
        flops: count the operations of a step; not done for sharded modules.
    """

    def __init__(self, skip: int = 3, flops: bool = True) -> None:
        self.skip, self.flops = skip, flops
        self.flops_per_batch: float | None = None
        self.summary: dict[str, float] = {}
        self._hook: Any = None
        self._away = 0.0  # also where a run has nothing left to train on and is only validated

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin to count."""
        self._clock = StepClock(pl_module.device)
        self._window, self._whole = _Sums(), _Sums()
        self._batches, self._logged = 0, trainer.global_step
        self._every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        self._away, self._ended = 0.0, time.perf_counter()
        loop: Any = trainer  # Lightning does not declare the attribute
        self._fetches = loop.profiler = _Fetches(loop.profiler)
        denoiser = getattr(pl_module, "denoiser", None)
        if denoiser is not None:
            compiled = denoiser._compiled_call_impl is not None  # which would be compiled again for every mark
            mark = torch.compiler.disable(self._mark_denoiser) if compiled else self._mark_denoiser
            self._hook = denoiser.register_forward_pre_hook(lambda network, inputs: mark(pl_module))
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_batch_start(  # type: ignore[override]
        self, trainer: L.Trainer, pl_module: StagedModule, batch: PairBatch, batch_idx: int
    ) -> None:
        """The step begins."""
        self._denoised = True
        if self.flops and self._batches == 0 and not is_sharded(trainer):
            self.flops_per_batch = counted(trainer, pl_module, batch)
        self._denoised = False
        self._clock.mark("encoders")

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """The forward pass has ended."""
        self._clock.mark("backward")

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The backward pass has ended."""
        self._clock.mark("optimizer")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step has ended; log now and then."""
        self._clock.mark(_OTHER)
        self._batches += 1
        if self._batches <= self.skip:
            if self._batches == self.skip:  # what came before does not count
                self._close()
                self._window = _Sums()
            return
        self._window.samples += len(batch)
        self._window.batches += 1
        step = trainer.global_step
        if step != self._logged and step % max(1, self._every) == 0:
            self._logged = step
            self._close()
            pl_module.log_dict({f"speed/{name}": value for name, value in self._report(self._window, trainer).items()})
            self._whole, self._window = self._whole + self._window, _Sums()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation does not count."""
        self._left = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on counting."""
        if hasattr(self, "_left"):
            self._away += time.perf_counter() - self._left

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say it in one line, with what the whole of the run costs at this rate."""
        self._close()
        self._whole = self._whole + self._window
        self._stop(trainer)
        if not self._whole.batches:
            return
        self.summary = self._report(self._whole, trainer)
        stages, per_batch = getattr(pl_module, "stages", ()), self._whole.samples / self._whole.batches
        rate, disk = self.summary["pairs_per_second"], sum(map(cached_bytes, _caches(trainer)))
        _tell(self.summary, whole_run(trainer, stages, rate, per_batch, disk) if stages else None)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave no hook behind."""
        self._stop(trainer)

    def _mark_denoiser(self, module: L.LightningModule) -> None:
        if module.training and not self._denoised:
            self._denoised = True
            self._clock.mark("forward")

    def _close(self) -> None:
        """Read the clocks into the window."""
        for phase, seconds in self._clock.read().items():
            self._window.phases[phase] = self._window.phases.get(phase, 0.0) + seconds
        now = time.perf_counter()
        self._window.seconds += now - self._ended - self._away
        self._window.waiting += self._fetches.read()
        self._ended, self._away = now, 0.0

    def _report(self, sums: _Sums, trainer: L.Trainer) -> dict[str, float]:
        seconds, batches = max(sums.seconds, 1e-9), max(sums.batches, 1)
        report = {
            "pairs_per_second": sums.samples * trainer.world_size / seconds,
            "data_wait": sums.waiting / seconds,
            **{f"{phase}_ms": sums.phases.get(phase, 0.0) / batches * 1e3 for phase in PHASES},
            "memory_gb": _memory(trainer.strategy.root_device) / 1e9,
        }
        if self.flops_per_batch:
            achieved = self.flops_per_batch * batches / seconds
            report["teraflops"] = achieved / 1e12
            peak = _peak(trainer)
            if peak:
                report["utilisation"] = achieved / peak
        return report

    def _stop(self, trainer: L.Trainer) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        loop: Any = trainer
        if isinstance(loop.profiler, _Fetches):
            loop.profiler = loop.profiler.inner


def counted(trainer: L.Trainer, module: StagedModule, batch: PairBatch) -> float:
    """Floating-point operations of a batch's losses and their gradients; leaves no trace in module or generators."""
    devices = [module.device] if module.device.type == "cuda" else []
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    compiled = torch.compiler.set_stance("force_eager")  # compiled kernels tell nothing of their operations
    counter = FlopCounterMode(display=False)
    with torch.random.fork_rng(devices), trainer.precision_plugin.train_step_context(), compiled, counter:
        total = module.stage.total(module(batch, module.step_generator("operations")))
        torch.autograd.grad(total, learning, allow_unused=True)
    return float(counter.get_total_flops())


class _Sums:
    """The counts so far."""

    def __init__(self) -> None:
        self.samples, self.batches = 0, 0
        self.seconds, self.waiting = 0.0, 0.0
        self.phases: dict[str, float] = {}

    def __add__(self, other: _Sums) -> _Sums:
        both = _Sums()
        both.samples, both.batches = self.samples + other.samples, self.batches + other.batches
        both.seconds, both.waiting = self.seconds + other.seconds, self.waiting + other.waiting
        names = {**self.phases, **other.phases}
        both.phases = {name: self.phases.get(name, 0.0) + other.phases.get(name, 0.0) for name in names}
        return both


class _Fetches(Profiler):
    """Lightning's profiler, and next to it the time that the loop waits for its next batch."""

    def __init__(self, inner: Profiler) -> None:
        super().__init__()
        self.inner = inner
        self._begun = self._waited = 0.0

    def start(self, action_name: str) -> None:
        self.inner.start(action_name)
        if action_name.endswith("train_dataloader_next"):
            self._begun = time.perf_counter()

    def stop(self, action_name: str) -> None:
        if action_name.endswith("train_dataloader_next"):
            self._waited += time.perf_counter() - self._begun
        self.inner.stop(action_name)

    def read(self) -> float:
        """Seconds waited since the last reading."""
        waited, self._waited = self._waited, 0.0
        return waited

    def summary(self) -> str:
        return self.inner.summary()

    def describe(self) -> None:
        self.inner.describe()

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        self.inner.setup(stage, local_rank, log_dir)

    def teardown(self, stage: str | None) -> None:
        self.inner.teardown(stage)


def _memory(device: torch.device) -> float:
    """Bytes at most: of tensors on a GPU, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak(trainer: L.Trainer) -> float | None:
    device = trainer.strategy.root_device
    if device.type != "cuda":
        return None
    return peak_flops(torch.cuda.get_device_name(device), str(trainer.precision))


def _caches(trainer: L.Trainer) -> set[Path]:
    """Folders in which the run keeps encoder outputs."""
    return {callback.folder for callback in trainer.callbacks if isinstance(callback, EncodingCache)}  # type: ignore[attr-defined]


@rank_zero_only
def _tell(summary: dict[str, float], cost: Cost | None) -> None:
    parts = ", ".join(f"{phase} {summary[f'{phase}_ms']:.3g} ms" for phase in PHASES)
    line = (
        f"speed: {summary['pairs_per_second']:.4g} pairs/s, {summary['data_wait']:.0%} waiting for data; "
        f"{parts}; {summary['memory_gb']:.3g} GB"
    )
    if "teraflops" in summary:
        line += f", {summary['teraflops']:.3g} TFLOP/s"
    if "utilisation" in summary:
        line += f" ({summary['utilisation']:.0%} of the device)"
    log.info("%s", line)
    if cost is not None:
        log.info("%s", cost)
