"""Damaged pairs are replaced, counted and named, and every process takes as many steps as without damage."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from processes import on_ranks

from ip2p_lightning.callbacks.skipped_pairs import SkippedPairs
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.data.transforms import PairTransform


class Counter(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.ids = torch.nn.Parameter(torch.zeros(())), list[str]()

    def training_step(self, batch: PairBatch, _: int) -> torch.Tensor:
        self.ids += batch.id
        return self.weight * batch.original_image.mean()

    def validation_step(self, batch: PairBatch, _: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Sixteen pairs, of which the third has a wrong bit."""
    path = tmp_path / "data"
    with ShardWriter(path) as writer:
        for number in range(16):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels)
            writer.add(EditPair(f"pair/{number}", picture, picture, "do it"))
    shard = path / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[content.find(b"000000-000002.original.png") + 560] ^= 1
    shard.write_bytes(content)
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_keep_their_steps_and_name_what_was_left_out(workers: int, damaged: Path) -> None:
    data = EditDataModule.from_shards(
        [damaged, damaged], transform=PairTransform(8), batch_size=4, workers=workers, on_error="skip"
    )
    module = Counter()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[SkippedPairs()],
    )
    with pytest.warns(UserWarning, match=r"pair\(s\) could not be read") as caught:
        trainer.fit(module, data)
    messages = [str(w.message) for w in caught if "could not be read" in str(w.message)]
    assert [message.split(":")[:2] for message in messages] == [
        ["epoch 0", " 2 train pair(s) could not be read and others were taken instead"],
        ["epoch 1", " 2 train pair(s) could not be read and others were taken instead"],
    ]
    assert "shard-000000.tar: pair 'pair/2': original does not have the checksum" in messages[0]
    assert trainer.global_step == 16
    assert "pair/2" not in module.ids
    assert len(module.ids) == 64
    assert module.ids.count("pair/0") >= 4


def test_the_metric_counts_the_pairs_of_all_ranks(damaged: Path, tmp_path: Path) -> None:
    def rank() -> None:
        warnings.simplefilter("ignore")
        data = EditDataModule.from_shards([damaged, damaged], transform=PairTransform(8), batch_size=4, on_error="skip")
        trainer = L.Trainer(
            accelerator="cpu",
            devices=2,
            strategy=DDPStrategy(process_group_backend="gloo"),
            max_epochs=2,
            limit_val_batches=0,
            logger=CSVLogger(tmp_path, name=None, version="log"),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[SkippedPairs()],
        )
        trainer.fit(Counter(), data)

    on_ranks(2, rank)
    with (tmp_path / "log/metrics.csv").open(newline="") as file:
        assert [row["data/skipped_train"] for row in csv.DictReader(file)] == ["2", "2"]


def test_sound_data_is_silent(damaged: Path) -> None:
    data = EditDataModule.from_shards(damaged, transform=PairTransform(8), kinds=None, batch_size=1)
    callback = SkippedPairs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        trainer.datamodule = data
        callback.on_train_epoch_end(trainer, Counter())
