"""The published recipes on the meta device: parameter counts and what is trained, without any weights."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.states import States

UNET, FIRST_WEIGHTS = 859_520_964, 320 * 4 * 9  # Stable Diffusion 1.5's, and what widening adds
TEXT_ENCODER, AUTOENCODER, EDIT_HEAD = 123_060_480, 83_653_863, 31_958_784
EMBEDDINGS = 32_011 * 4096
LLAMA_7B = 6_738_415_616 + 2 * 11 * 4096  # LLaMA-7B's, and 11 tokens in embeddings and output
CLIP_VISION, PROJECTOR = 303_179_776, 1024 * 4096 + 4096  # ViT-L/14 at 224 px; one linear layer, as in LLaVA v1
IDENTITY = 4096 * 4096 + 4096  # the second layer of transformers' projector, the identity for LLaVA v1


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tokenizers as large as LLaMA's and CLIP's, which AutoTokenizer loads as it does the hub's."""
    folders = {}
    for name, size in [("llama", 32_000), ("clip", 49_408)]:
        special = ["<unk>", "<s>", "</s>"]
        words = {word: index for index, word in enumerate([*special, *map(str, range(size - 3))])}
        folder = tmp_path_factory.mktemp(name)
        PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")),
            unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>" if name == "clip" else None,
        ).save_pretrained(folder / "tokenizer")  # fmt: skip
        folders[name] = str(folder)
    return folders


def paper_module(experiment: str, tokenizers: dict[str, str]) -> EditingModule:
    """What the command line builds with these overrides, on the meta device."""
    clip = ["tokenizer.weights=" + tokenizers["clip"], "text_encoder.weights=null"]
    llama = [f"tokenizer.tokenizer.weights={tokenizers['llama']}/tokenizer", "model.weights=null"]
    below = {"ip2p": {"": clip}, "lgie": {"": llama}, "mgie": {"": llama}}
    below["mgie_fz"] = below["mgie_ft"] = {"writer.": llama, "text.": clip}
    parts = below[experiment.split("/")[0]]
    overrides = [f"conditioner.{prefix}{word}" for prefix, words in parts.items() for word in words]
    overrides += [
        "autoencoder.vae.weights=null",
        "denoiser.network.weights=null",
        "data.path=unused",
        "output_dir=unused",
    ]
    config = plain(compose("train", [f"experiment={experiment}", *overrides]).method)
    with torch.device("meta"):  # networks alone: schedulers compute with numbers when they are built
        networks = {part: build(config.pop(part)) for part in ("conditioner", "denoiser", "autoencoder")}
    return build(config, **networks)


def count(module: torch.nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def test_instruct_pix2pix_trains_the_unet_alone(tokenizers: dict[str, str]) -> None:
    module = paper_module("ip2p/paper", tokenizers)
    assert count(module.denoiser) == UNET + FIRST_WEIGHTS
    assert count(module.conditioner) == TEXT_ENCODER
    assert module.conditioner.max_length == 77
    assert count(module.autoencoder) == AUTOENCODER
    (group,) = module.parameter_groups()
    assert group["lr"] == 1e-4
    assert module.stage.loss_weights == {"editing_loss": 1.0}
    assert count(module, trained=True) == count(module.denoiser)


@pytest.mark.parametrize("family", ["mgie", "lgie"])
def test_mgie_trains_embeddings_output_edit_head_and_unet(family: str, tokenizers: dict[str, str]) -> None:
    module = paper_module(f"{family}/paper", tokenizers)
    conditioner = module.conditioner
    language = conditioner.model.model.language_model if family == "mgie" else conditioner.model.model
    assert count(language) + EMBEDDINGS == LLAMA_7B
    if family == "mgie":
        tower = conditioner.model.model.vision_tower
        buffers = sum(b.numel() for name, b in tower.named_buffers() if "position_ids" not in name)
        assert count(tower) + buffers == CLIP_VISION  # layers that no feature passes through are buffers
        assert count(conditioner.model.model.multi_modal_projector) == PROJECTOR + IDENTITY
        assert conditioner.model.config.image_token_index == conditioner.tokenizer.convert_tokens_to_ids("<im_patch>")
    assert conditioner.prompt.visual_ids == list(range(32_003, 32_011))
    assert count(conditioner.edit_head) == EDIT_HEAD
    groups = module.parameter_groups()
    assert [group["lr"] for group in groups] == [5e-4, 5e-4, 5e-4, 1e-4]
    sizes = [sum(parameter.numel() for parameter in group["params"]) for group in groups]
    assert sizes == [EMBEDDINGS, EMBEDDINGS, EDIT_HEAD, UNET + FIRST_WEIGHTS]
    assert count(module, trained=True) == sum(sizes)
    assert module.stage.loss_weights == {"instruction_loss": 1.0, "editing_loss": 0.5}


@pytest.mark.parametrize(("ablation", "denoiser"), [("mgie_fz", 0), ("mgie_ft", UNET + FIRST_WEIGHTS)])
def test_ablations_train_the_writer_and_perhaps_the_unet(
    ablation: str, denoiser: int, tokenizers: dict[str, str]
) -> None:
    module = paper_module(f"{ablation}/paper", tokenizers)
    module.parameter_groups()
    assert count(module.conditioner, trained=True) == 2 * EMBEDDINGS
    assert count(module.denoiser, trained=True) == denoiser


@pytest.mark.parametrize(
    ("family", "pairs", "precision", "dropout"), [("ip2p", 1024, "32-true", 0.05), ("mgie", 128, "bf16-mixed", 0.05)]
)
def test_published_recipe(family: str, pairs: int, precision: str, dropout: float) -> None:
    config = compose("train", [f"experiment={family}/paper", "data.path=unused", "output_dir=unused"])
    trainer = config.trainer
    assert config.data.batch_size * trainer.devices * trainer.accumulate_grad_batches == pairs
    assert trainer.precision == precision
    assert [config.dropout[share] for share in ("text", "image", "both")] == [dropout] * 3
    assert config.sampler.steps == 100
    assert (config.sampler.guidance.text_scale, config.sampler.guidance.image_scale) == (7.5, 1.5)
    assert config.data.transform.resolution == 256
    assert config.denoiser.gradient_checkpointing


def test_shapes_of_a_step_at_the_paper_s_size(tokenizers: dict[str, str]) -> None:
    """The networks fit together: 256 px, 77 states of 768."""
    module = paper_module("ip2p/paper", tokenizers)
    with torch.device("meta"):
        latents, states = torch.empty(2, 4, 32, 32), torch.empty(2, 77, module.conditioner.embedding_dim)
        assert module.autoencoder.encode_original(torch.empty(2, 3, 256, 256)).shape == latents.shape
        assert module.denoiser(latents, latents, torch.empty(2), States(states)).shape == latents.shape
