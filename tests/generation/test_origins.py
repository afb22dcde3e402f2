"""The card says of every part where its weights are from, or that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from generation.pairs_factory import LONGER, tiny_pipeline

from ip2p_lightning.config import build, compose
from ip2p_lightning.generation.base import Draw
from ip2p_lightning.generation.duplicates import HashedDuplicates
from ip2p_lightning.generation.origins import UNKNOWN, Origin, has_weights, origins
from ip2p_lightning.generation.pipelines import load_pipeline
from ip2p_lightning.generation.prompt_to_prompt import PromptToPromptMaker
from ip2p_lightning.generation.summarisers import ChatSummariser
from ip2p_lightning.generation.writers.endpoint import EndpointWriter
from ip2p_lightning.generation.writers.grammar import GrammarWriter
from ip2p_lightning.models.causal_lm import build_causal_lm
from ip2p_lightning.world.tokenizer import world_tokenizer
from ip2p_lightning.zoo import path


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path]:
    """A pipeline as the hub's cache holds it, and the autoencoder of another."""
    folder = tmp_path / f"models--someone--a-model/snapshots/{'0123456789' * 4}"
    tiny_pipeline().save_pretrained(folder)
    tiny_pipeline(1).vae.save_pretrained(tmp_path / "other")
    return folder, tmp_path / "other"


def test_a_hub_s_model_tells_revision_licence_and_weights(saved: tuple[Path, Path]):
    made = PromptToPromptMaker(load_pipeline(saved[0]))
    (origin,) = origins("maker", made).values()
    assert origin.licence == UNKNOWN
    assert origin.version.startswith("revision 012345678901, ")
    assert all(f"{part} weights " in origin.version for part in ("text_encoder", "unet", "vae"))
    (saved[0] / "README.md").write_text("---\nlicense: openrail\n---\n# A model")
    assert origins("maker", made)["maker"] == Origin("openrail", origin.version)
    made.pipeline.unet.conv_in.bias.data[0] += 1e-3
    assert origins("maker", made)["maker"].version != origin.version


def test_another_autoencoder_is_part_of_the_name_and_of_the_licences(saved: tuple[Path, Path]):
    plain, other = (PromptToPromptMaker(load_pipeline(saved[0], vae)) for vae in (None, saved[1]))
    assert plain.name == str(saved[0])
    assert other.name == f"{saved[0]} with the autoencoder {saved[1]}"
    (saved[0] / "README.md").write_text("---\nlicense: openrail\n---\n")
    (saved[1] / "README.md").write_text("---\nlicense: mit\n---\n")
    assert set(origins("maker", other)["maker"].licence.split(" and ")) == {"openrail", "mit"}
    assert other.make(LONGER, [Draw(0, 0.5, 2.0)], steps=1)


@pytest.mark.parametrize(
    ("model", "group", "name"), [("text_to_image", "maker", "world"), ("dual_encoder", "scorer", "dual_encoder")]
)
def test_the_package_s_models_have_the_package_s_licence(model: str, group: str, name: str):
    try:
        path(model)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    (origin,) = origins(group, build(compose("generate", [f"generation/{group}={name}"])[group])).values()
    assert origin.licence == "apache-2.0"
    assert "weights " in origin.version


def test_known_names_parts_in_parts_and_parts_that_say_nothing():
    torch.manual_seed(0)
    tokenizer = world_tokenizer()
    tokenizer.chat_template = "{{ messages }}"
    model = build_causal_lm(tokenizer, hidden_size=16, layers=1, heads=2)
    model.config.name_or_path = "mistralai/Mistral-7B-v0.3"
    expander = build(compose("generate", ["generation/expander=tiny"]).expander)
    expander.summariser = ChatSummariser(model, tokenizer)
    found = origins("expander", expander)
    assert {part: origin.licence for part, origin in found.items()} == {
        "expander": UNKNOWN, "expander.summariser": "Apache-2.0",
    }  # fmt: skip
    assert origins("writer", EndpointWriter("a-model")) == {"writer": Origin(UNKNOWN, "")}
    assert origins("writer", GrammarWriter()) == {"writer": Origin("CC0-1.0", "")}
    assert has_weights(expander)
    assert not has_weights(HashedDuplicates())
