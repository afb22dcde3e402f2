"""Train on what frozen networks once said of the pairs, instead of asking them again in every step."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import lightning.pytorch as L
import torch
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy

from ip2p_lightning.cache.build import Builder
from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.cache.pairs import CachedSource, Recall
from ip2p_lightning.cache.store import PART_PAIRS, Store
from ip2p_lightning.cache.views import Views
from ip2p_lightning.callbacks.checkpoint import Checkpoint
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.methods.cascade import CascadeModule
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.training.stop_request import StopRequest

log = logging.getLogger(__name__)


class EncodingCache(L.Callback):
    """Build, on all ranks, what is missing of the cache when a fit begins, and put it in the place of the images.

    An encoding's address is made of the network's weights, the transform, the source's fingerprint and the precision,
    so that a cache is never stale: whatever changes, another folder is used. What learns in a stage is not cached.
    Validation looks at images as always.

    Args:
        folder: of the cache; runs on the same pairs share it, also at the same time.
        limit_gb: the most that it may hold in all, in 10^9 bytes; a run that needs more stops before it writes.
        crops: how many random crops to hold of each pair, where crops are random.
        dtype: "float16" or "bfloat16" to store half as much; None keeps what the networks give, exactly.
        states: cache the states of frozen text encoders and language models, too, not the latents alone.
        batch_size: images encoded at once while building.
        part_pairs: pairs of a file.

    Raises:
        ValueError: a limit that is not above 0.
    """

    def __init__(
        self,
        folder: str | Path = "cache",
        limit_gb: float = 100.0,
        crops: int | None = None,
        dtype: Literal["float16", "bfloat16"] | None = None,
        states: bool = True,
        batch_size: int = 32,
        part_pairs: int = PART_PAIRS,
    ) -> None:
        if not limit_gb > 0:
            raise ValueError(f"cache.limit_gb={limit_gb} must be above 0; train without a cache by cache=null")
        self.folder, self.limit_gb, self.crops, self.states = Path(folder), limit_gb, crops, states
        self.dtype: torch.dtype | None = getattr(torch, dtype) if dtype else None
        self.batch_size, self.part_pairs = batch_size, part_pairs
        self._replaced: tuple[EditDataModule, PairSource, PairTransform] | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Build what is missing, and let the training loader read from it.

        Raises:
            TypeError: a method or data module that knows no encodings.
            ValueError: random crops without a number of them, too little room, or a strategy that shards the networks.
        """
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, EditingModule | CascadeModule) or not isinstance(data, EditDataModule):
            raise TypeError(
                f"the cache knows EditingModule, CascadeModule and EditDataModule, not {type(pl_module).__name__} and "
                f"{type(data).__name__}; train with cache=null"
            )
        if is_sharded(trainer):
            raise ValueError(
                f"the cache needs whole networks on each device, {type(trainer.strategy).__name__} keeps none; "
                "train with trainer=ddp or with cache=null"
            )
        if data.train is None:
            return
        encodings = pl_module.encodings()
        if not self.states:
            encodings = [encoding for encoding in encodings if encoding.name == "latents"]
        if not encodings:
            log.info("cache: nothing to keep in stage %s, which trains no denoiser", pl_module.stage.name)
            return
        log.info("cache: %s in %s", ", ".join(encoding.name for encoding in encodings), self.folder)
        builder = self._builder(trainer, data, data.train, encodings)
        self._build(trainer, pl_module, builder)
        # A cascade learns pixels; next to latents, nothing may be known of a language model that looks at the images.
        pictures = isinstance(pl_module, CascadeModule) or (pl_module.conditioner.sees_pictures and len(encodings) == 1)
        self._replace(trainer, data, builder, pictures)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give the data module its images back."""
        if self._replaced is not None:
            data, data.train, data.transform = self._replaced
            self._replaced = None

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Give the data module its images back."""
        self.on_fit_end(trainer, pl_module)

    def _builder(
        self, trainer: L.Trainer, data: EditDataModule, train: PairSource, encodings: Sequence[Encoding]
    ) -> Builder:
        views, size = Views(data.transform, self.crops), (len(train), self.part_pairs)
        source = {"source": train.fingerprint()}
        looks = {**source, "views": views.address(), "precision": str(trainer.precision), "dtype": str(self.dtype)}
        return Builder(
            train,
            views,
            Store(self.folder, "texts", source, *size),
            [
                (each, Store(self.folder, each.name, {**looks, "network": each.fingerprint()}, *size))
                for each in encodings
            ],
            lambda batch: trainer.precision_plugin.convert_input(batch.to(trainer.strategy.root_device)),
            self.dtype,
            self.batch_size,
            data.workers,
            trainer.precision_plugin.forward_context,
        )

    def _build(self, trainer: L.Trainer, module: L.LightningModule, builder: Builder) -> None:
        """All ranks build; then all see the whole."""
        # Decided together: another job may fill the gaps between two ranks' looks, and one would wait for the other.
        if trainer.strategy.reduce_boolean_decision(bool(builder.missing()), all=False):
            builder.check_room(self.folder, self.limit_gb * 1e9)
            trainer.strategy.barrier("cache: begin")
            modes = [(part, part.training) for part in module.modules()]
            module.eval()
            self._share(trainer, builder)
            for part, mode in modes:
                part.training = mode
        if missing := builder.missing():
            raise ValueError(
                f"{len(missing)} parts of the cache in {self.folder} are missing on rank {trainer.global_rank} after "
                "all ranks have built it; set cache.folder to a folder that all machines share"
            )

    def _share(self, trainer: L.Trainer, builder: Builder) -> None:
        """Build this rank's share and wait for the others; a run that is asked to stop keeps what is built."""
        saver = trainer.checkpoint_callback
        stop = saver.stop if isinstance(saver, Checkpoint) else StopRequest(())
        stop.listen()  # training, before which the checkpoint's own watch begins, may be hours away
        try:
            builder.build(trainer.global_rank, trainer.world_size, lambda: stop.received is not None)
        finally:
            stop.restore()
        if stop.asked(trainer):
            stop.end(trainer, "while the cache was built, which keeps what is done", "run the same command again")

    def _replace(self, trainer: L.Trainer, data: EditDataModule, builder: Builder, pictures: bool) -> None:
        """Let the data module's loaders read from the cache."""
        self._replaced = data, builder.source, data.transform
        recall = Recall(builder.views, tuple(store for _, store in builder.stores), self.dtype and torch.float32)
        data.train = cast(PairSource, CachedSource(builder.source, builder.texts, pictures))
        data.transform = cast(PairTransform, recall)
        # A schedule that asks for the number of steps has made the loader already.
        pairs: Any = getattr(trainer.train_dataloader, "dataset", None)
        if isinstance(pairs, TransformedPairs):
            pairs.source, pairs.transform = data.train, data.transform


def is_sharded(trainer: L.Trainer) -> bool:
    """True if a strategy leaves no process with whole networks (FSDP, DeepSpeed, tensor parallelism)."""
    whole = isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy)
    return not whole or isinstance(trainer.strategy, DeepSpeedStrategy)
