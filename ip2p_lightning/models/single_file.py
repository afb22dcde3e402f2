"""Stable Diffusion 1 as one file in the original (CompVis) layout, the form most people have on disk.

The architecture is read off the tensors' shapes, so nothing is fetched; InstructPix2Pix's eight input channels are
recognised by them, too. The tokenizer, which such a file lacks, is CLIP's, whose table comes with open_clip. Parts are
opened from .safetensors wherever weights are named; `open_original` (`ip2p convert`) reads .ckpt files as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerBase

from ip2p_lightning.limits import LimitError
from ip2p_lightning.models.account import Account
from ip2p_lightning.models.torch_file import budget_of, named_tensors, read_torch
from ip2p_lightning.models.weight_files import WeightsError

M = TypeVar("M", bound=nn.Module)

_UNET, _VAE, _TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
_EMA = "model_ema."
PARTS: dict[str, Any] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
"""The networks of such a file, by their names in a pipeline."""
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
    "steps_offset": 1,
}
"""The noise schedule that Stable Diffusion 1 was trained with."""
_FACTOR = 0.18215
"""Scale of its latents."""
_UNUSED = {  # what a training left in the file -> why nothing needs it
    rf"{re.escape(_EMA)}(decay|num_updates)": "counters of the averages",
    r"(sqrt_\w+|log_\w+|alphas_cumprod\w*|posterior_\w+|betas|logvar|lvlb_weights|scale_factor)": (
        "the noise schedule, which is Stable Diffusion's"
    ),
    rf"{re.escape(_VAE)}loss\..*": "losses of the autoencoder's own training",
    rf"{re.escape(_TEXT)}(text_model\.)?embeddings\.position_ids": "numbers of positions",
}
_OTHERS = {  # a key's beginning -> what the file is instead
    "conditioner.embedders.": "Stable Diffusion XL",
    "cond_stage_model.model.": "Stable Diffusion 2",
    "lora_": "a LoRA adapter: merge it into its base first (fuse_lora)",
    "double_blocks.": "Flux",
    "model.diffusion_model.double_blocks.": "Flux",
    "model.diffusion_model.joint_blocks.": "Stable Diffusion 3",
    "down_blocks.": "a UNet in diffusers' layout: give its folder, with config.json",
    "text_model.": "a text encoder in transformers' layout: give its folder, with config.json",
    "encoder.": "one network alone: give its folder, with config.json",
}


def is_single_file(weights: str | Path) -> bool:
    """True if `weights` is a file that `load_single` is to open."""
    return str(weights).endswith(".safetensors") and Path(weights).expanduser().is_file()


def load_single(kind: type[M], path: Path, dtype: torch.dtype) -> M:
    """One network of the file.

    Args:
        kind: `UNet2DConditionModel`, `AutoencoderKL` or `CLIPTextModel`.
        path: the file.
        dtype: of the weights in memory.

    Raises:
        WeightsError: not Stable Diffusion 1 in the original layout, a class that it does not hold, or damage.
    """
    if kind not in _BUILDERS:
        raise WeightsError(f"{path}: a single file holds no {kind.__name__}; give a folder")
    model, weights = read_part(kind, _tensors(path, _BUILDERS[kind][0]), path)
    own = model.state_dict()
    wrong = sorted(name for name in own if name not in weights or weights[name].shape != own[name].shape)
    if wrong:
        raise WeightsError(
            f"{path}: {len(wrong)} tensors of its {kind.__name__} are missing or of another shape "
            f"({', '.join(wrong[:3])}); copy or fetch the file again"
        )
    model.load_state_dict({name: weights[name] for name in own})
    return nn.Module.to(model, dtype).eval()  # diffusers' own `to` warns of parts to be kept in float32, none here


def open_original(path: Path, dtype: torch.dtype, averaged: bool = True) -> tuple[dict[str, nn.Module], Account]:
    """All networks of a file, .safetensors or .ckpt, and the account of its tensors.

    Args:
        path: the file.
        dtype: of the weights in memory.
        averaged: of the UNet the averaged weights, where the file holds both.

    Returns:
        Part of a pipeline -> network, to be used once the account has been checked; and that account.

    Raises:
        WeightsError: not Stable Diffusion 1 in the original layout, another noise schedule, or damage.
    """
    account, parts = Account(str(path)), {}
    for part, kind in PARTS.items():
        tensors = _tensors(path, _BUILDERS[kind][0], averaged)
        tensors = {name: tensor for name, tensor in tensors.items() if not _unused(name)}
        model, weights = read_part(kind, tensors, path)
        own = model.state_dict()
        account.fill(part, own, weights)
        used = {_address(tensor) for tensor in weights.values()}
        account.unexpected += [name for name, tensor in tensors.items() if _address(tensor) not in used]
        fitting = {n: tensor for n, tensor in weights.items() if n in own and own[n].shape == tensor.shape}
        model.load_state_dict(fitting, strict=False)
        parts[part] = nn.Module.to(model, dtype).eval()
    with _opened(path) as (names, read):
        _check_schedule(path, {name: read(name) for name in ("betas", "scale_factor") if name in names})
        _leave_out(account, names, averaged)
    return parts, account


def read_part(kind: Any, tensors: Mapping[str, Tensor], path: Path) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network that a part's tensors describe, not yet filled, and the tensors in its names.

    Args:
        kind: a class of `PARTS`.
        tensors: of that part, in the original names.
        path: of the file, for messages.

    Raises:
        WeightsError: tensors of no whole network.
    """
    try:
        with budget_of(tensors.values(), str(path)):
            model, weights = _BUILDERS[kind][1](tensors)
    except LimitError:
        raise
    except (KeyError, IndexError, ValueError, RuntimeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: its tensors are not those of a whole Stable Diffusion 1 ({type(error).__name__}: "
            f"{str(error)[:120]}); copy or fetch the file again"
        ) from error
    return model, {name: tensor for name, tensor in weights.items() if tensor is not None}


def single_channels(path: Path) -> int:
    """Input channels of the file's UNet: 4 for Stable Diffusion, 8 for InstructPix2Pix; errors as `load_single`."""
    first = f"{_UNET}input_blocks.0.0.weight"
    found = _tensors(path, first)
    if first not in found:
        raise WeightsError(f"{path} has no {first}; copy or fetch the file again")
    return found[first].shape[1]


def single_tokenizer() -> PreTrainedTokenizerBase:
    """CLIP's tokenizer, as Stable Diffusion 1 has it."""
    from open_clip.tokenizer import SimpleTokenizer  # seconds of imports

    table = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(word, word): number for word, number in table.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=cast(Any, list(table.bpe_ranks)), model_max_length=77)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Callable[[str], Tensor]]]:
    """Names of a file's tensors, and the function that reads one."""
    if path.suffix != ".safetensors":
        stored = read_torch(path)
        state = named_tensors(stored["state_dict"] if isinstance(stored.get("state_dict"), dict) else stored, path)
        yield list(state), state.__getitem__
        return
    try:
        with safe_open(str(path), framework="pt") as file:
            yield list(file.keys()), file.get_tensor
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not readable as safetensors ({error}); copy or fetch it again") from error


def _tensors(path: Path, prefix: str, averaged: bool = True) -> dict[str, Tensor]:
    """The tensors under a prefix; of a UNet the averaged ones where the file holds both, unless asked otherwise."""
    with _opened(path) as (names, read):
        _check_layout(path, names)
        wanted = {name: name for name in names if name.startswith(prefix)}
        if prefix.startswith(_UNET) and averaged and _has_both(names):
            wanted = {name: _average_of(name) for name in wanted}
        return {name: read(stored) for name, stored in wanted.items()}


def _average_of(name: str) -> str:
    return _EMA + "".join(name.split(".")[1:])


def _has_both(names: list[str]) -> bool:
    """True if a file holds an average of every weight of its UNet."""
    return {_average_of(name) for name in names if name.startswith(_UNET)} <= set(names)


def _unused(name: str) -> str | None:
    """The reason for which nothing needs a tensor; None for others."""
    return next((reason for pattern, reason in _UNUSED.items() if re.fullmatch(pattern, name)), None)


def _leave_out(account: Account, names: list[str], averaged: bool) -> None:
    """Count the tensors that belong to no network, and the UNet's other weights."""
    unet = [name for name in names if name.startswith(_UNET)]
    both = _has_both(names)
    averages = {_average_of(name) for name in unet} if both else set()
    account.leave_out("the UNet's last weights, of which the averages are taken", len(unet) * (both and averaged))
    account.leave_out("averages of the UNet, of which the last weights are taken", len(averages) * (not averaged))
    for name in names:
        if reason := _unused(name):
            account.leave_out(reason, 1)
        elif not name.startswith((_UNET, _VAE, _TEXT)) and name not in averages:
            account.unexpected.append(name)


def _check_schedule(path: Path, stored: Mapping[str, Tensor]) -> None:
    """Refuse a model that was trained with other noise, or other latents, than those that it would get here."""
    start, end = SCHEDULE["beta_start"] ** 0.5, SCHEDULE["beta_end"] ** 0.5
    betas = torch.linspace(start, end, SCHEDULE["num_train_timesteps"], dtype=torch.float64) ** 2
    if (given := stored.get("betas")) is not None and not (
        given.shape == betas.shape and torch.allclose(given.double(), betas, rtol=1e-3)
    ):
        raise WeightsError(f"{path} was trained with another noise schedule (betas) than Stable Diffusion 1's")
    if (factor := stored.get("scale_factor")) is not None and abs(float(factor) - _FACTOR) > 1e-4:
        raise WeightsError(f"{path} scales its latents by {float(factor):.5f}, not by Stable Diffusion 1's {_FACTOR}")


def _address(tensor: Tensor) -> int:
    """Address of a tensor's numbers in memory, which renaming and squeezing leave alone."""
    return tensor.untyped_storage().data_ptr()


def _check_layout(path: Path, names: list[str]) -> None:
    for beginning, what in _OTHERS.items():
        if any(name.startswith(beginning) for name in names):
            raise WeightsError(
                f"{path} is not Stable Diffusion 1 in the original layout but {what}"
                + ("" if "folder" in what or "merge" in what else ", which is not trained here")
            )
    for prefix, part in ((_UNET, "UNet"), (_VAE, "autoencoder"), (_TEXT, "text encoder")):
        if not any(name.startswith(prefix) for name in names):
            raise WeightsError(f"{path} has no {part} ({prefix}...): not Stable Diffusion 1 in the original layout")


def _unet(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    widths, attends = [], []
    states = 768
    width, attention = 0, False
    for block in count(1):
        start = f"{_UNET}input_blocks.{block}."
        if f"{start}0.out_layers.3.weight" in tensors:
            width = tensors[f"{start}0.out_layers.3.weight"].shape[0]
            attended = tensors.get(f"{start}1.transformer_blocks.0.attn2.to_k.weight")
            attention = attended is not None
            states = attended.shape[1] if attended is not None else states
            continue
        widths.append(width)
        attends.append(attention)
        if f"{start}0.op.weight" not in tensors:
            break
    layers = sum(f"{_UNET}input_blocks.{block}.0.out_layers.3.weight" in tensors for block in range(1, 100))
    if 0 in widths:
        raise KeyError(f"{_UNET}input_blocks.1.0.out_layers.3.weight")
    config: dict[str, Any] = {
        "sample_size": 64,
        "in_channels": tensors[f"{_UNET}input_blocks.0.0.weight"].shape[1],
        "out_channels": tensors[f"{_UNET}out.2.weight"].shape[0],
        "down_block_types": ["CrossAttnDownBlock2D" if attends_ else "DownBlock2D" for attends_ in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attends_ else "UpBlock2D" for attends_ in reversed(attends)],
        "block_out_channels": widths,
        "layers_per_block": layers // len(widths),
        "cross_attention_dim": states,
    }
    return UNet2DConditionModel(**config), single_file_utils.convert_ldm_unet_checkpoint(tensors, config)


def _autoencoder(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    first = {
        int(found[1]): tensor.shape[0]
        for name, tensor in tensors.items()
        if (found := re.fullmatch(rf"{re.escape(_VAE)}encoder\.down\.(\d+)\.block\.0\.conv1\.weight", name))
    }
    widths = [first[level] for level in sorted(first)]
    blocks = re.compile(rf"{re.escape(_VAE)}encoder\.down\.0\.block\.\d+\.conv1\.weight")
    config: dict[str, Any] = {
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": widths,
        "layers_per_block": sum(bool(blocks.fullmatch(name)) for name in tensors),
        "latent_channels": tensors[f"{_VAE}post_quant_conv.weight"].shape[1],
        "sample_size": 512,
        "scaling_factor": _FACTOR,
    }
    return AutoencoderKL(**config), single_file_utils.convert_ldm_vae_checkpoint(tensors, config)


def _text_encoder(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    weights = {name.removeprefix(_TEXT).removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    words, positions = weights["embeddings.token_embedding.weight"], weights["embeddings.position_embedding.weight"]
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}
    config = CLIPTextConfig(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        intermediate_size=weights["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, words.shape[1] // 64),
        max_position_embeddings=positions.shape[0],
    )
    model = CLIPTextModel(config)
    nested = all(name.startswith("text_model.") for name in model.state_dict())
    return model, {f"text_model.{name}": tensor for name, tensor in weights.items()} if nested else weights


_BUILDERS: dict[Any, tuple[str, Callable[..., Any]]] = {
    UNet2DConditionModel: (_UNET, _unet),
    AutoencoderKL: (_VAE, _autoencoder),
    CLIPTextModel: (_TEXT, _text_encoder),
}
