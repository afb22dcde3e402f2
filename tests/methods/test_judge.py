"""Training of the judge: what it learns from, what it refuses, and the run that the zoo's experiment describes."""

from __future__ import annotations

import pytest
import torch
from factories import quiet_trainer, tiny_batch
from torch.utils.data import DataLoader

from ip2p_lightning.config import compose
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.checkpoint import CheckpointError, load_method, load_module
from ip2p_lightning.methods.judge import JudgeModule
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.models.judge import ABSENT, AttributeJudge
from ip2p_lightning.world.open.attributes import ATTRIBUTES as OPEN_ATTRIBUTES

STAGE = Stage("judge", {"attribute_loss": 1.0}, {"*": {"lr": 1e-2}}, max_steps=40)
TINY = [
    "judge.size=32", "judge.widths=[8,8,8]", "judge.hidden=16", "data.transform.resolution=32", "data.train.0.count=8",
    "data.validation.count=4", "data.batch_size=4", "data.workers=0", "stages.0.max_steps=2",
    "trainer.precision=32-true", "~callbacks.summary",
    "callbacks.progress.line_interval=1000",
]  # fmt: skip


def module(noise: float = 0.0) -> JudgeModule:
    return JudgeModule(AttributeJudge(size=16, widths=(8, 8, 8), hidden=16), noise, stages=[STAGE])


def pairs(count: int = 8) -> EditDataModule:
    source = WorldSource(count, size=16, level="full")
    return EditDataModule(source, source, transform=PairTransform(16, flip=0.0), batch_size=4)


def test_both_pictures_are_read_before_the_edited_ones():
    batch = next(iter(pairs().train_dataloader()))
    images, labels = module().pictures(batch)
    assert torch.equal(images, torch.cat([batch.original_image, batch.edited_image]))
    judge = AttributeJudge(size=16)
    assert torch.equal(labels[4:5], judge.labels([batch.metadata[0]["attributes"]["edited"]]))
    assert (labels == ABSENT).any()


def test_noise_comes_from_the_generator_and_stays_in_range():
    noisy, plain = module(noise=0.5), module()
    batch = next(iter(pairs().train_dataloader()))
    noisy.judge.load_state_dict(plain.judge.state_dict())
    one, same = (noisy(batch, torch.Generator().manual_seed(1))["attribute_loss"] for _ in range(2))
    assert one == same
    assert one != plain(batch)["attribute_loss"]
    assert noisy._noised(torch.ones(2, 3, 8, 8), torch.Generator().manual_seed(0)).amax() == 1
    with pytest.raises(ValueError, match="at least 0"):
        module(noise=-1)


def test_it_learns():
    judge, batch = module(), next(iter(pairs(4).train_dataloader()))
    data = DataLoader([batch] * 40, batch_size=None)
    trainer = quiet_trainer(max_steps=40)
    (before,) = trainer.validate(judge, DataLoader([batch], batch_size=None), verbose=False)
    trainer.fit(judge, data)
    (after,) = trainer.validate(judge, DataLoader([batch], batch_size=None), verbose=False)
    assert after["val/attribute_loss"] < 0.6 * before["val/attribute_loss"]
    assert after["val/accuracy"] > before["val/accuracy"] + 0.2


def test_pairs_without_attributes():
    with pytest.raises(ValueError, match=r"\['0-0', '0-1', '0-2'\] come without attributes"):
        module()(tiny_batch())


def test_the_experiment_of_the_zoo_runs_and_its_checkpoint_reopens(tmp_path):
    trained = train(compose("train", ["experiment=zoo/judge", f"output_dir={tmp_path}", *TINY]))
    assert 0 < trained.metrics["val/accuracy"] < 1
    again = load_method(trained.checkpoint, JudgeModule)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(again.judge(images), trained.module.eval().judge(images))
    with pytest.raises(CheckpointError, match="holds a JudgeModule, not the EditingModule"):
        load_module(trained.checkpoint)


def test_a_judge_of_the_open_level_reads_its_attributes() -> None:
    source = WorldSource(4, size=32, level="open")
    data = EditDataModule(source, source, transform=PairTransform(32, flip=0.0), batch_size=4)
    pairs = next(iter(data.train_dataloader()))
    module = JudgeModule(AttributeJudge("open", size=32, widths=(8, 8, 16), hidden=16))
    assert set(module.judge.read(pairs.edited_image)[0]) <= set(OPEN_ATTRIBUTES)
    assert module(pairs)["attribute_loss"].isfinite()
