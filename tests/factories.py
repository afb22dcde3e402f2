"""Tiny editing modules of real diffusers and transformers classes, and a tiny batch, for tests of any folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L
import torch
from torch.utils.data import DataLoader

from ip2p_lightning.config import build
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.editing import EditingModule

DIM, LENGTH, VISUAL = 32, 12, 4
"""Width and number of the conditioning states; number of [IMG] tokens."""

_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
}
_TOKENIZER = {"_target_": "ip2p_lightning.world.tokenizer.world_tokenizer"}
_VISUAL_TOKENIZER = {
    "_target_": "ip2p_lightning.models.visual_tokens.with_visual_tokens",
    "tokenizer": _TOKENIZER,
    "count": VISUAL,
}
TEXT = {
    "_target_": "ip2p_lightning.conditioners.text.TextConditioner",
    "tokenizer": _TOKENIZER,
    "text_encoder": {
        "_target_": "ip2p_lightning.models.text_encoder.build_text_encoder",
        "tokenizer": _TOKENIZER,
        "hidden_size": DIM,
        "layers": 1,
        "heads": 2,
        "max_length": LENGTH,
    },
    "max_length": LENGTH,
}
_EDIT_HEAD = {
    "_target_": "ip2p_lightning.models.edit_head.EditHead",
    "input_dim": 32,
    "hidden_dim": 16,
    "output_dim": DIM,
    "queries": LENGTH,
    "layers": 1,
    "heads": 2,
    "feedforward_dim": 32,
}
MULTIMODAL = {
    "_target_": "ip2p_lightning.conditioners.multimodal.MultimodalConditioner",
    "model": {
        "_target_": "ip2p_lightning.models.mllm.build_llava",
        "tokenizer": _VISUAL_TOKENIZER,
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "vision_hidden_size": 16,
        "vision_layers": 1,
        "vision_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    },
    "tokenizer": _VISUAL_TOKENIZER,
    "edit_head": _EDIT_HEAD,
    "template": "{picture} {instruction}",
    "max_text_length": 64,
    "max_new_tokens": 6,
}
LANGUAGE = {
    "_target_": "ip2p_lightning.conditioners.language_model.LanguageModelConditioner",
    "model": {
        "_target_": "ip2p_lightning.models.mllm.build_llama",
        "tokenizer": _VISUAL_TOKENIZER,
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
    },
    "tokenizer": _VISUAL_TOKENIZER,
    "edit_head": _EDIT_HEAD,
    "max_text_length": 64,
    "max_new_tokens": 6,
}
UNET = {
    "_target_": "ip2p_lightning.models.denoiser.UNetDenoiser",
    "network": {
        "_target_": "ip2p_lightning.models.denoiser.build_unet",
        "latent_channels": 4,
        "embedding_dim": DIM,
        "widths": [8, 16],
        "heads": 2,
        "norm_groups": 4,
    },
}
TRANSFORMER = {
    "_target_": "ip2p_lightning.models.denoiser.TransformerDenoiser",
    "network": {
        "_target_": "ip2p_lightning.models.denoiser.build_transformer",
        "latent_channels": 12,
        "embedding_dim": DIM,
        "width": 16,
        "layers": 2,
        "heads": 2,
    },
    "residual": 1.0,
}
KL = {
    "_target_": "ip2p_lightning.models.autoencoder.Autoencoder",
    "vae": {
        "_target_": "diffusers.AutoencoderKL",
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "block_out_channels": [8, 8],
        "norm_num_groups": 4,
        "latent_channels": 4,
    },
}
PATCH_PCA = {
    "_target_": "ip2p_lightning.models.autoencoder.Autoencoder",
    "vae": {"_target_": "ip2p_lightning.models.patch_pca.PatchPCA", "patch_size": 2, "latent_channels": 12},
    "scale_original": True,
}
EULER = {
    "_target_": "ip2p_lightning.diffusion.sampling.Sampler",
    "scheduler": {
        "_target_": "diffusers.EulerAncestralDiscreteScheduler",
        "timestep_spacing": "linspace",
        **_SCHEDULE,
    },
    "steps": 4,
}
IP2P = {
    "_target_": "ip2p_lightning.methods.editing.EditingModule",
    "conditioner": TEXT,
    "denoiser": UNET,
    "autoencoder": KL,
    "objective": {
        "_target_": "ip2p_lightning.diffusion.objective.DiffusionObjective",
        "scheduler": {"_target_": "diffusers.DDPMScheduler", **_SCHEDULE},
    },
    "sampler": EULER,
    "dropout": {"_target_": "ip2p_lightning.diffusion.dropout.ConditioningDropout"},
    "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1e-3},
    "stages": [{"_target_": "ip2p_lightning.methods.stage.Stage"}],
}
MGIE = IP2P | {
    "conditioner": MULTIMODAL,
    "stages": [
        {
            "_target_": "ip2p_lightning.methods.stage.Stage",
            "loss_weights": {"instruction_loss": 1.0, "editing_loss": 0.5},
            "trainable": {
                "conditioner.model.*embed_tokens*": {"lr": 5e-4},
                "conditioner.model.lm_head*": {"lr": 5e-4},
                "conditioner.edit_head.*": {"lr": 5e-4},
                "denoiser.*": {"lr": 1e-4},
            },
        }
    ],
}
LGIE = MGIE | {"conditioner": LANGUAGE}
_SAMPLE = _SCHEDULE | {"prediction_type": "sample", "rescale_betas_zero_snr": True, "clip_sample": False}
WORLD = IP2P | {
    "denoiser": TRANSFORMER,
    "autoencoder": PATCH_PCA,
    "objective": IP2P["objective"] | {"scheduler": {"_target_": "diffusers.DDPMScheduler", **_SAMPLE}},
    "sampler": {
        "_target_": "ip2p_lightning.diffusion.sampling.Sampler",
        "scheduler": {"_target_": "diffusers.DDIMScheduler", "timestep_spacing": "trailing", **_SAMPLE},
        "steps": 3,
    },
}
"""The way the embedded models are built: joint attention, residual prediction of the sample, closed-form codec."""


def stage(**options: Any) -> dict[str, Any]:
    """Configuration of a stage."""
    return {"_target_": "ip2p_lightning.methods.stage.Stage", **options}


def tiny_module(config: Mapping[str, Any] = IP2P, seed: int = 0, **changes: Any) -> EditingModule:
    """Build a module from one of the configurations above; `changes` replaces its entries."""
    config = copy.deepcopy(dict(config) | changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(config)
    module.config = config
    return module


def seeing(module: EditingModule) -> EditingModule:
    """The module with a first convolution that looks at the original, as after training; in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(module.denoiser.network.conv_in.weight, std=0.3, generator=generator)
    return module.eval()


def tiny_batch(count: int = 3, size: int = 8, seed: int = 0) -> PairBatch:
    """Random pictures with texts of the embedded world."""
    generator = torch.Generator().manual_seed(seed)
    original, edited = torch.rand(2, count, 3, size, size, generator=generator) * 2 - 1
    colours = ("blue", "red", "green", "white", "black")
    names = [colours[(seed + index) % len(colours)] for index in range(count)]
    return PairBatch(
        id=[f"{seed}-{index}" for index in range(count)],
        original_image=original,
        edited_image=edited,
        instruction=[f"make the house {name}" for name in names],
        expressive_instruction=[f"the house is {name} now" for name in names],
        original_caption=["a house"] * count,
        edited_caption=[f"a {name} house" for name in names],
        kind=["recolour"] * count,
    )


def tiny_loader(batches: int = 2, **options: Any) -> DataLoader[PairBatch]:
    """A loader of ready batches."""
    return DataLoader([tiny_batch(seed=seed, **options) for seed in range(batches)], batch_size=None)


def quiet_trainer(**options: Any) -> L.Trainer:
    """A CPU trainer that writes and prints nothing unless `options` ask for it."""
    silent = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(**(silent | options))
