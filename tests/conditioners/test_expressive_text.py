"""FZ and FT: the denoiser is conditioned on what the language model writes, and the two learn apart."""

from __future__ import annotations

import copy

import pytest
import torch
from factories import quiet_trainer

from ip2p_lightning.conditioners.expressive_text import ExpressiveTextConditioner
from ip2p_lightning.config import build, compose

BRIEF = ["make the castle blue", "make it winter"]


@pytest.fixture(scope="module")
def conditioner() -> ExpressiveTextConditioner:
    torch.manual_seed(0)
    built = build(compose("train", ["experiment=mgie_fz/tiny", "output_dir=unused"]).conditioner)
    assert isinstance(built, ExpressiveTextConditioner)
    return built.eval()


def test_training_conditions_on_the_batch_s_texts_and_the_brief_one_where_there_is_none(conditioner, make_batch):
    batch = make_batch(BRIEF, ["a blue castle", ""])
    condition = conditioner(batch)
    expected = conditioner.text.encode(["a blue castle", BRIEF[1]])
    assert torch.equal(condition.embeddings, expected.embeddings)
    assert torch.equal(condition.null_embeddings, expected.null_embeddings)
    torch.testing.assert_close(condition.losses, conditioner.writer(batch).losses)


def test_editing_conditions_on_what_the_writer_derives(conditioner, make_batch):
    images = make_batch(BRIEF).original_image
    condition = conditioner.condition(BRIEF, images)
    written = conditioner.writer.write(BRIEF, images)
    assert condition.expressive_instructions == written
    assert all(written)
    assert torch.equal(condition.embeddings, conditioner.text.encode(written).embeddings)
    assert (condition.embeddings - conditioner.text.encode(BRIEF).embeddings).abs().max() > 0.01


def test_a_frozen_writer_is_not_run(conditioner, make_batch):
    frozen = copy.deepcopy(conditioner)
    frozen.writer.requires_grad_(False)
    assert frozen(make_batch(BRIEF)).losses == {}


@pytest.mark.parametrize(
    ("experiment", "learning"), [("mgie_fz/tiny", {"writer"}), ("mgie_ft/tiny", {"writer", "denoiser"})]
)
def test_what_each_ablation_trains(experiment, learning):
    config = compose("train", [f"experiment={experiment}", "output_dir=unused", "data.train.count=8"])
    torch.manual_seed(0)
    module, data = build(config.method), build(config.data)
    before = copy.deepcopy(module.state_dict())
    quiet_trainer(max_steps=2, limit_val_batches=0).fit(module, data)
    moved = [name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])]
    parts = {"writer": "conditioner.writer.model.", "denoiser": "denoiser."}
    assert {part for part, start in parts.items() if any(name.startswith(start) for name in moved)} == learning
    assert all(name.startswith(tuple(parts.values())) for name in moved)
