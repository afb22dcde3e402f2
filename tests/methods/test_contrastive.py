"""Contrastive training: CLIP's own loss, a loss that the right matches minimise, and the run of the zoo."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from factories import quiet_trainer, tiny_batch
from open_clip.loss import ClipLoss
from torch.utils.data import DataLoader

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.contrastive import ContrastiveModule, matching_loss
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.models.dual_encoder import LARGEST_SCALE, DualEncoder
from ip2p_lightning.world.tokenizer import world_tokenizer

SIZES = {"embed_dim": 8, "image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
TEXT_SIZES = {"text_width": 16, "text_layers": 1, "text_heads": 2, "context_length": 24}
STAGE = Stage("both", {"contrastive_loss": 1.0, "direction_loss": 0.5}, {"*": {"lr": 1e-2}}, max_steps=30)
TINY = [
    *(f"encoder.{name}={value}" for name, value in (SIZES | TEXT_SIZES).items()),
    "data.train.size=16", "data.train.count=8", "data.validation.count=4", "data.batch_size=4", "data.workers=0",
    "stages.0.max_steps=2", "trainer.precision=32-true", "~callbacks.summary", "callbacks.progress.line_interval=1000",
]  # fmt: skip


def module() -> ContrastiveModule:
    return ContrastiveModule(DualEncoder(world_tokenizer(), **SIZES, **TEXT_SIZES), stages=[STAGE])


def test_the_loss_is_open_clip_s():
    method, batch = module(), tiny_batch(size=16)
    pictures, texts = method.embed(batch)
    expected = ClipLoss()(pictures, texts, method.encoder.scale())
    torch.testing.assert_close(method(batch)["contrastive_loss"], expected)


def test_right_matches_minimise_the_loss():
    logits = 20 * torch.eye(4)
    assert matching_loss(logits) < 1e-3 < 10 < matching_loss(logits.roll(1, 0))


def test_the_scale_is_bounded():
    method = module()
    with torch.no_grad():
        method.encoder.clip.logit_scale.fill_(LARGEST_SCALE + 1)
    assert method.encoder.scale().item() == pytest.approx(100)
    with pytest.raises(ValueError, match="must be above 0"):
        ContrastiveModule(method.encoder, direction_scale=0)


def test_it_learns():
    method, batch = module(), tiny_batch(size=16)
    one = DataLoader([batch], batch_size=None)
    trainer = quiet_trainer(max_steps=30)
    (before,) = trainer.validate(method, one, verbose=False)
    trainer.fit(method, DataLoader([batch] * 30, batch_size=None))
    (after,) = trainer.validate(method, one, verbose=False)
    assert after["val/direction_loss"] < before["val/direction_loss"]
    assert after["val/direction"] > max(0.5, before["val/direction"])


def test_pairs_without_captions():
    with pytest.raises(ValueError, match=r"\['0-0', '0-1', '0-2'\] have no captions"):
        module()(replace(tiny_batch(size=16), original_caption=[""] * 3))


def test_the_experiment_of_the_zoo_runs_and_its_checkpoint_reopens(tmp_path):
    trained = train(compose("train", ["experiment=zoo/dual_encoder", f"output_dir={tmp_path}", *TINY]))
    assert {"val/retrieval", "val/direction", "val/contrastive_loss"} <= trained.metrics.keys()
    again = load_method(trained.checkpoint, ContrastiveModule).encoder
    texts = ["a house", "a bus by the sea"]
    assert torch.equal(again.embed_texts(texts), trained.module.eval().encoder.embed_texts(texts))
