"""Real pairs and photographs go through a training step, a checkpoint and the editor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from factories import IP2P, MGIE, quiet_trainer, tiny_module
from torch.utils.data import DataLoader

from ip2p_lightning.data.formats.ip2p_folder_source import IP2PFolderSource
from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.captioned import CaptionedSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.editors.trained import TrainedEditor

pytestmark = pytest.mark.real


def published_pairs(folder: Callable[[str], Path]) -> PairSource:
    return IP2PFolderSource(folder("ml-mgie") / "_data", split_by_position=False)


def captioned_photographs(folder: Callable[[str], Path]) -> PairSource:
    return CaptionedSource(folder("cc12m_test"), per_photograph=1, size=64)


@pytest.mark.parametrize("config", [IP2P, MGIE], ids=["ip2p", "mgie"])
@pytest.mark.parametrize("source", [published_pairs, captioned_photographs])
def test_training_and_editing(
    source: Callable[..., PairSource], config: dict, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    pairs, transform = source(shared_data), PairTransform(32)
    batch = PairBatch.collate([transform(pairs[index]) for index in range(4)])
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(tiny_module(config), DataLoader([batch] * 2, batch_size=None))
    assert all(torch.isfinite(value) for value in trainer.callback_metrics.values())
    trainer.save_checkpoint(tmp_path / "last.ckpt")

    editor = TrainedEditor.from_checkpoint(tmp_path / "last.ckpt", resolution=64)
    photographs = [open_image(shared_data("ml-mgie") / "_input" / f"{number}.jpg") for number in range(4)]
    results = editor.edit(photographs, batch.instruction, steps=2).images
    for photograph, result in zip(photographs, results, strict=True):
        assert result.size == photograph.size
