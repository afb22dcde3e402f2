"""`ip2p convert`: published weights as a folder that this package edits with and trains from, and back to one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline
from omegaconf import DictConfig
from safetensors.torch import save_file

from ip2p_lightning.data.making import folder_in_the_making
from ip2p_lightning.files import whole
from ip2p_lightning.interop import export, load_pipeline
from ip2p_lightning.interop.components import single_scheduler
from ip2p_lightning.interop.folder import as_pipeline
from ip2p_lightning.interop.mgie_release import is_release, open_release
from ip2p_lightning.methods.checkpoint import load_module
from ip2p_lightning.models.account import Account
from ip2p_lightning.models.original_layout import original_tensors
from ip2p_lightning.models.single_file import PARTS, open_original, single_tokenizer
from ip2p_lightning.models.torch_file import read_torch
from ip2p_lightning.models.weight_files import WeightsError

_PICKLED = (".ckpt", ".pt", ".pth", ".bin")


def run(config: DictConfig) -> None:
    """Write `config.output` from `config.checkpoint`, and print the account of its tensors.

    Raises:
        WeightsError: weights of no known layout, or tensors that would be lost or drawn at random.
        FileExistsError: an output that is there already.
    """
    output, source = Path(config.output), Path(config.checkpoint).expanduser()
    dtype = getattr(torch, config.dtype)
    if output.suffix == ".safetensors":
        _to_file(config, source, output, dtype)
        return
    if is_release(source):
        if config.mllm is None:
            raise WeightsError(
                f"{source}: MGIE's release holds what was trained alone; mllm=FOLDER names the LLaVA-7B v1 that it "
                "belongs to"
            )
        model, account = open_release(source, config.mllm, config.vision, config.base_model, dtype)
        if _accepted(account, config):
            with folder_in_the_making(output) as unfinished:
                export(model, unfinished)
            print(output)
        return
    if not source.is_file() or _is_ours(source):
        raise WeightsError(
            f"{config.checkpoint}: converted to a folder is one file in the original layout (.ckpt, .safetensors), or "
            "the folder of MGIE's mllm.pt and unet.pt; a run's checkpoint becomes a folder with ip2p export, and a "
            "folder of diffusers opens as it is"
        )
    parts, account = open_original(source, dtype, averaged=config.weights == "ema")
    if _accepted(account, config):
        with folder_in_the_making(output) as unfinished:
            _pipeline(parts).save_pretrained(unfinished, safe_serialization=True)
        print(output)


def _to_file(config: DictConfig, source: Path, output: Path, dtype: torch.dtype) -> None:
    """Write a pipeline as one file in the original layout."""
    if source.is_file() and source.suffix == ".ckpt":
        pipeline: Any = as_pipeline(load_module(source, weights=config.weights, trust=config.trust))
    else:
        pipeline = load_pipeline(config.checkpoint, config.trust)
    if not isinstance(pipeline, StableDiffusionInstructPix2PixPipeline):
        raise WeightsError(
            f"{config.checkpoint} is a {type(pipeline).__name__}: one file in the original layout holds an "
            "InstructPix2Pix on Stable Diffusion 1 and nothing else; write a folder with ip2p export"
        )
    parts: dict[str, Any] = {part: getattr(pipeline, part) for part in PARTS}
    tensors = original_tensors(parts, pipeline.tokenizer, pipeline.scheduler, str(config.checkpoint))
    account = Account(str(config.checkpoint), {part: len(network.state_dict()) for part, network in parts.items()})
    if not _accepted(account, config):
        return
    stored = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in tensors.items()
    }
    with whole(output) as unfinished:
        save_file(stored, unfinished, metadata={"format": "pt"})
    print(output)


def _accepted(account: Account, config: DictConfig) -> bool:
    """Print the account; True if the output is to be written."""
    print("\n".join(account.lines()))
    if not config.dry_run:
        account.check()
    return not config.dry_run


def _pipeline(parts: dict[str, Any]) -> Any:
    edits = parts["unet"].config.in_channels == 8
    kind: Any = StableDiffusionInstructPix2PixPipeline if edits else StableDiffusionPipeline
    return kind(
        **parts, tokenizer=single_tokenizer(), scheduler=single_scheduler(edits), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _is_ours(path: Path) -> bool:
    """True for a checkpoint of `ip2p train`."""
    return path.suffix in _PICKLED and isinstance(read_torch(path).get("config"), dict)
