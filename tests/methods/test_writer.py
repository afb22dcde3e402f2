"""Tuning a writer: the loss is transformers' own, only answers are learned, and a run's checkpoint writes again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from factories import tiny_batch

from ip2p_lightning.config import compose
from ip2p_lightning.generation.base import Caption
from ip2p_lightning.generation.writers.language_model import LanguageModelWriter
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.writer import WriterModule
from ip2p_lightning.models.causal_lm import build_causal_lm, load_causal_lm
from ip2p_lightning.models.triple_format import completion, prompt
from ip2p_lightning.world.tokenizer import world_tokenizer

TRIPLES = [
    ("a red house", "make it blue", "a blue house"),
    ("two trees by the sea", "make it night", "two trees at night"),
]
TINY = [
    "data.train.0.captions.count=6", "data.train.1.triples.count=6", "data.validation.0.captions.count=2",
    "data.validation.1.triples.count=2", "data.batch_size=4", "trainer.max_steps=2", "~callbacks.summary",
    "callbacks.progress.line_interval=1000",
]  # fmt: skip


def module(max_length: int = 256, **options) -> WriterModule:
    torch.manual_seed(0)
    tokenizer = world_tokenizer()
    return WriterModule(build_causal_lm(tokenizer, hidden_size=32, layers=1, heads=2, **options), tokenizer, max_length)


def batch(triples):
    captions, instructions, edited = map(list, zip(*triples, strict=True))
    pairs = tiny_batch(len(triples))
    return replace(pairs, original_caption=captions, instruction=instructions, edited_caption=edited)


def test_the_loss_is_the_one_of_transformers():
    writer = module()
    ids, labels = writer.rows(TRIPLES)
    expected = writer.model(input_ids=ids, labels=labels).loss
    torch.testing.assert_close(writer(batch(TRIPLES))["writing_loss"], expected, rtol=1e-5, atol=1e-6)


def test_rows_are_prompt_and_answer_and_only_the_answer_is_learned():
    writer = module()
    ids, labels = writer.rows(TRIPLES)
    for row, (caption, *edit) in enumerate(TRIPLES):
        learned = labels[row] != -100
        start, end = learned.nonzero()[[0, -1], 0]
        assert learned.sum() == end - start + 1
        assert writer.tokenizer.decode(ids[row, start:end]) == completion(*edit)
        assert ids[row, end] == writer.tokenizer.eos_token_id
        assert writer.tokenizer.decode(ids[row, :start], skip_special_tokens=True) == prompt(caption)
        assert torch.equal(ids[row][learned], labels[row][learned])


def test_the_loss_does_not_depend_on_the_rows_beside():
    writer = module()
    one, other = (writer(batch([triple]))["writing_loss"] for triple in TRIPLES)
    counts = [(writer.rows([triple])[1] != -100).sum() for triple in TRIPLES]
    together = writer(batch(TRIPLES))["writing_loss"]
    torch.testing.assert_close(together, (one * counts[0] + other * counts[1]) / sum(counts), rtol=1e-5, atol=1e-6)


def test_rows_that_are_too_long_teach_nothing():
    long = ("a house " * 60, "make it blue", "a blue house " * 60)
    writer = module(max_length=64)
    torch.testing.assert_close(
        writer(batch([*TRIPLES, long]))["writing_loss"], writer(batch(TRIPLES))["writing_loss"], rtol=1e-5, atol=1e-6
    )
    assert writer(batch([long]))["writing_loss"] == 0


def test_pairs_without_captions_are_named():
    pairs = batch(TRIPLES)
    with pytest.raises(ValueError, match=f"{pairs.id[1]}.*lack a caption"):
        module()(replace(pairs, edited_caption=["a house", ""]))


def test_an_adapter_begins_as_nothing_and_alone_is_trained():
    plain, adapted = module(), module(lora={"rank": 2})
    ids, _ = plain.rows(TRIPLES)
    own = {name: parameter for name, parameter in adapted.named_parameters() if "lora_" not in name}
    for (_, ours), (_, theirs) in zip(plain.named_parameters(), own.items(), strict=True):
        theirs.data.copy_(ours.data)
    assert torch.equal(plain.model(input_ids=ids).logits, adapted.model(input_ids=ids).logits)
    stage = Stage("writer", {"writing_loss": 1.0}, {"model.*lora_*": {"lr": 1e-3}})
    adapted.stage = stage
    adapted.parameter_groups()
    learning = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert learning
    assert learning.isdisjoint(own)


def test_checkpoints_leave_out_what_the_model_s_folder_holds(tmp_path: Path):
    plain = module()
    plain.model.save_pretrained(tmp_path)
    writer = WriterModule(load_causal_lm(tmp_path, lora={"rank": 2}), plain.tokenizer)
    checkpoint = {"state_dict": writer.state_dict()}
    writer.on_save_checkpoint(checkpoint)
    assert checkpoint["state_dict"]
    assert all("lora_" in name for name in checkpoint["state_dict"])
    again = WriterModule(load_causal_lm(tmp_path, lora={"rank": 2}), plain.tokenizer)
    again.on_load_checkpoint(checkpoint)
    again.load_state_dict(checkpoint["state_dict"])
    ids, _ = writer.rows(TRIPLES)
    assert torch.equal(writer.model(input_ids=ids).logits, again.model(input_ids=ids).logits)


@pytest.mark.parametrize("lora", [False, True])
def test_a_run_leaves_a_checkpoint_that_writes(tmp_path: Path, lora: bool):
    words = ["++language_model.model.lora={rank: 2}"] if lora else []
    config = compose("train", ["experiment=writer/tiny", f"output_dir={tmp_path}", *TINY, *words])
    config.stages[0].trainable = {"model.*lora_*" if lora else "*": {"lr": 1e-2}}
    result = train(config)
    assert {"train/writing_loss", "val/writing_loss"} <= result.metrics.keys()
    assert result.checkpoint is not None
    reopened = load_method(result.checkpoint, WriterModule)
    assert isinstance(result.module, WriterModule)
    ids, _ = reopened.rows(TRIPLES)
    logits = [m.model.eval()(input_ids=ids).logits for m in (reopened, result.module)]
    torch.testing.assert_close(*logits)
    options = {"max_new_tokens": 6, "retries": 0, "device": "cpu"}
    writer = LanguageModelWriter.from_checkpoint(result.checkpoint, **options)
    assert writer.shots == 0
    assert str(result.checkpoint) in writer.name
    assert len(writer.write([Caption("1", "a red house")])) == 1
