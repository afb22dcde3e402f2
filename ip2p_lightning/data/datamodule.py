"""Train, validation and test loaders over dataset folders or pair sources, for Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.loader import ResumableLoader
from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.order import Order
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.sampler import ElasticSampler, Tail
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.joined import JoinedSource
from ip2p_lightning.data.storage import RemoteAccess
from ip2p_lightning.data.transforms import PairTransform

NO_VALIDATION = (
    "training has no validation loss and no images; cut some off with splits='{train: 0.8, validation: 0.1, test: 0.1}'"
    " (data.splits=... where the data are dataset folders)"
)
"""Consequence of a lack of validation pairs, and the remedy."""
Sources = PairSource | Sequence[PairSource]


class EditDataModule(LightningDataModule):
    """Batches of edit pairs. Order, crops and flips depend on (seed, epoch, pair) alone.

    Training batches are shuffled each epoch and all full; each process of a distributed run reads its own share. The
    place in the epoch is in checkpoints, and a run that goes on from one sees each pair as if it had never stopped.
    Validation and test pairs keep their order and are neither cropped at random nor flipped.

    Args:
        train: a source of training pairs, or several to be joined; None to evaluate only.
        validation: the same for validation; None for no validation.
        test: the same for the test; None for no test.
        transform: of the training pairs; the others get its ``evaluation()``.
        batch_size: training pairs in a batch of one process.
        eval_batch_size: the same for validation and test; defaults to ``batch_size``.
        workers: loader processes of each training process; 0 loads in the training process itself.
        seed: of the order of training pairs.
        order: of the training pairs; shuffled by default.
        tail: what becomes of training pairs that do not fill an epoch's last step: "drop" or "strict", see
            `ElasticSampler`.
        one_per_group: an epoch visits each group once and draws one of its pairs (InstructPix2Pix's candidates).

    Examples:
        >>> from ip2p_lightning.data.sources.world import WorldSource
        >>> from ip2p_lightning.data.transforms import PairTransform
        >>> data = EditDataModule(WorldSource(8, size=16), transform=PairTransform(16), batch_size=4)
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch.original_image.shape
        torch.Size([4, 3, 16, 16])
    """

    def __init__(
        self,
        train: Sources | None = None,
        validation: Sources | None = None,
        test: Sources | None = None,
        *,
        transform: PairTransform,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 0,
        seed: int = 0,
        order: Order | None = None,
        tail: Tail = "drop",
        one_per_group: bool = False,
    ) -> None:
        super().__init__()
        self.train, self.validation, self.test = _joined(train), _joined(validation), _joined(test)
        self.transform, self.workers, self.seed, self.one_per_group = transform, workers, seed, one_per_group
        self.order = order
        self.tail: Tail = tail
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self._loader: ResumableLoader | None = None
        self._place: dict[str, Any] | None = None
        if not self.sources():
            raise ValueError("the data module has no pairs at all; set data.path or give it a source")

    @classmethod
    def from_shards(
        cls,
        path: str | Path | Sequence[str | Path],
        *,
        size: int | float | None = None,
        eval_size: int | float | None = None,
        size_of: Literal["pair", "group"] = "pair",
        kinds: Sequence[str] | None = None,
        min_scores: Mapping[str, float] | None = None,
        max_scores: Mapping[str, float] | None = None,
        splits: Mapping[str, float] | None = None,
        selection_seed: int = 0,
        on_error: Literal["raise", "skip"] = "raise",
        decode_side: int | None = None,
        access: RemoteAccess | None = None,
        **loading: Any,
    ) -> EditDataModule:
        """A data module over dataset folders, with their splits "train", "validation" and "test" where they have them.

        Args:
            path: a dataset folder or its URL on object storage, or several to be joined.
            size: training pairs to use of each folder, or with a point their share (0.1), nested (100 is a subset of
                200); None for all.
            eval_size: likewise of each folder's validation and test splits.
            size_of: what both count: pairs, or groups (prompts), of which each comes with all its pairs.
            kinds: kinds of edits to use; None for all.
            min_scores: least score to keep, by score name.
            max_scores: greatest score to keep, by score name.
            splits: fractions by which to cut the folders again, whole groups at a time.
            selection_seed: of the nested subsets and of ``splits``.
            on_error: what to do about damaged pairs: "raise", or "skip" to take others instead and report them.
            decode_side: decode JPEGs no larger than needed for both sides to have this many pixels; None for in full.
            access: how to read what lies on object storage.
            loading: transform (which must be given), batch_size, workers and the other arguments of this class.

        Raises:
            FileNotFoundError: no dataset at a path.
            ValueError: a selection that leaves too few pairs, saying which condition removed how many.
        """
        paths = [path] if isinstance(path, str | Path) else list(path)
        if not paths:
            raise ValueError("data.path is empty; give it one dataset folder or more")

        def split(name: str, size: int | float | None) -> list[PairSource]:
            chosen = Selection(name, splits, kinds, min_scores, max_scores, size, size_of, selection_seed)
            return [
                ShardDataset(p, chosen, access=access, on_error=on_error, decode_side=decode_side)
                for p in paths
                if name in (splits or DatasetInfo.load(p, access).splits)
            ]

        return cls(
            split("train", size) or None,
            split("validation", eval_size) or None,
            split("test", eval_size) or None,
            **loading,
        )

    def sources(self) -> dict[str, PairSource]:
        """Split name -> its source, for the splits that there are."""
        sources = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: source for split, source in sources.items() if source is not None}

    def training_items(self) -> int:
        """Number of items of an epoch: pairs, or groups with `one_per_group`; ValueError without training pairs."""
        return len(TransformedPairs(self._source("train"), self.transform, self.one_per_group))

    def train_dataloader(self) -> DataLoader:
        """Shuffled full batches of this process's share of the pairs.

        Raises:
            ValueError: no training pairs, fewer than one step takes, or a checkpoint of other pairs.
        """
        pairs = TransformedPairs(self._source("train"), self.transform, self.one_per_group)
        trainer = self.trainer
        # Lightning takes the first pairs in order, again and again
        if trainer and trainer.overfit_batches:  # type: ignore[attr-defined]
            return self._loader_in_order(pairs, self.batch_size)
        sampler = ElasticSampler(
            pairs,
            seed=self.seed,
            batch_size=self.batch_size,
            replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            accumulate=trainer.accumulate_grad_batches if trainer else 1,
            epoch=trainer.current_epoch if trainer else 0,
            order=self.order,
            tail=self.tail,
            buckets=pairs.buckets,
        )
        self._loader = ResumableLoader(pairs, sampler, self.workers)
        if self._place is not None:
            self._loader.load_state_dict(self._place)
            self._place = None
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch."""
        return {"train": self._loader.state_dict()} if self._loader else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next training loader begin at a place.

        Lightning restores loaders, too, but not if something has asked for the number of steps before (a schedule that
        needs `estimated_stepping_batches`; Lightning's issue 20550).
        """
        self._place = state_dict.get("train")

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Batches of the validation pairs in order; an empty list if there are none."""
        return [] if self.validation is None else self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader:
        """Batches of the test pairs in order."""
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: Literal["validation", "test"]) -> DataLoader:
        pairs = TransformedPairs(self._source(split), self.transform.evaluation())
        return self._loader_in_order(pairs, self.eval_batch_size)

    def _source(self, split: str) -> PairSource:
        sources = self.sources()
        if split not in sources:
            raise ValueError(
                f"the data has no {split} pairs, only {', '.join(sources)}; render some or set data.splits"
            )
        return sources[split]

    def _loader_in_order(self, pairs: TransformedPairs, batch_size: int) -> DataLoader:
        return DataLoader(
            pairs,
            batch_size=batch_size,
            num_workers=self.workers,
            collate_fn=PairBatch.collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )


def _joined(sources: Sources | None) -> PairSource | None:
    if sources is None or isinstance(sources, PairSource):
        return sources
    return sources[0] if len(sources) == 1 else JoinedSource(sources)
