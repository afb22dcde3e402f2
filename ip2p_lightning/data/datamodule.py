"""Train, validation and test loaders over dataset folders or pair sources, for Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.loading import EpochSampler, TransformedPairs
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.joined import JoinedSource
from ip2p_lightning.data.transforms import PairTransform

Sources = PairSource | Sequence[PairSource]


class EditDataModule(LightningDataModule):
    """Batches of edit pairs. Order, crops and flips depend on (seed, epoch, pair) alone.

    Training batches are shuffled each epoch and all full; each process of a distributed run reads its own share.
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
        one_per_group: an epoch visits each group once and draws one of its pairs (InstructPix2Pix's candidates).
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
        one_per_group: bool = False,
    ) -> None:
        super().__init__()
        self.train, self.validation, self.test = _joined(train), _joined(validation), _joined(test)
        self.transform, self.workers, self.seed, self.one_per_group = transform, workers, seed, one_per_group
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        if not self.sources():
            raise ValueError("the data module has no pairs at all; set data.path or give it a source")

    @classmethod
    def from_shards(
        cls,
        path: str | Path | Sequence[str | Path],
        *,
        transform: PairTransform,
        size: int | None = None,
        eval_size: int | None = None,
        kinds: Sequence[str] | None = None,
        min_scores: Mapping[str, float] | None = None,
        max_scores: Mapping[str, float] | None = None,
        splits: Mapping[str, float] | None = None,
        selection_seed: int = 0,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 0,
        seed: int = 0,
        one_per_group: bool = False,
    ) -> EditDataModule:
        """A data module over dataset folders, with their splits "train", "validation" and "test" where they have them.

        Args:
            path: a dataset folder, or several to be joined.
            transform: of the training pairs.
            size: training pairs to use of each folder, nested (100 is a subset of 200); None for all.
            eval_size: pairs to use of each folder's validation and test splits; None for all.
            kinds: kinds of edits to use; None for all.
            min_scores: least score to keep, by score name.
            max_scores: greatest score to keep, by score name.
            splits: fractions by which to cut the folders anew, whole groups at a time.
            selection_seed: of the nested subsets and of ``splits``.
            batch_size: training pairs in a batch of one process.
            eval_batch_size: the same for validation and test; defaults to ``batch_size``.
            workers: loader processes of each training process.
            seed: of the order of training pairs.
            one_per_group: an epoch visits each group once and draws one of its pairs.

        Raises:
            FileNotFoundError: no dataset at a path.
            ValueError: a selection that leaves too few pairs, saying which condition removed how many.
        """
        paths = [path] if isinstance(path, str | Path) else list(path)
        if not paths:
            raise ValueError("data.path is empty; give it one dataset folder or more")

        def split(name: str, size: int | None) -> list[PairSource]:
            chosen = Selection(name, splits, kinds, min_scores, max_scores, size, selection_seed)
            return [ShardDataset(p, chosen) for p in paths if name in (splits or DatasetInfo.load(p).splits)]

        return cls(
            split("train", size) or None,
            split("validation", eval_size) or None,
            split("test", eval_size) or None,
            transform=transform,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            workers=workers,
            seed=seed,
            one_per_group=one_per_group,
        )

    def sources(self) -> dict[str, PairSource]:
        """Split name -> its source, for the splits that there are."""
        sources = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: source for split, source in sources.items() if source is not None}

    def train_dataloader(self) -> DataLoader:
        """Shuffled full batches of this process's share of the pairs.

        Raises:
            ValueError: no training pairs, or fewer than one batch for each process.
        """
        pairs = TransformedPairs(self._source("train"), self.transform, self.one_per_group)
        trainer = self.trainer
        sampler = EpochSampler(
            len(pairs),
            seed=self.seed,
            batch_size=self.batch_size,
            replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            epoch=trainer.current_epoch if trainer else 0,
        )
        return self._loader(pairs, self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Batches of the validation pairs in order; an empty list if there are none."""
        return [] if self.validation is None else self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader:
        """Batches of the test pairs in order."""
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: Literal["validation", "test"]) -> DataLoader:
        pairs = TransformedPairs(self._source(split), self.transform.evaluation())
        return self._loader(pairs, self.eval_batch_size, None)

    def _source(self, split: str) -> PairSource:
        sources = self.sources()
        if split not in sources:
            raise ValueError(
                f"the data has no {split} pairs, only {', '.join(sources)}; render some or set data.splits"
            )
        return sources[split]

    def _loader(self, pairs: TransformedPairs, batch_size: int, sampler: EpochSampler | None) -> DataLoader:
        return DataLoader(
            pairs,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=PairBatch.collate,
            pin_memory=torch.cuda.is_available(),
            drop_last=sampler is not None,
            persistent_workers=self.workers > 0,
        )


def _joined(sources: Sources | None) -> PairSource | None:
    if sources is None or isinstance(sources, PairSource):
        return sources
    return sources[0] if len(sources) == 1 else JoinedSource(sources)
