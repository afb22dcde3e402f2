"""MGIE as Apple published it: `mllm.pt` and `unet.pt`, which need the LLaVA-7B v1 that they were trained on.

The release holds what was trained: all embeddings with the eight [IMG] tokens, the output layer, the edit head and the
UNet. Transformer blocks and projector come from LLaVA (in its own layout, merged), the vision tower from CLIP,
autoencoder and noise schedule from the InstructPix2Pix that the release's demo edits with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPVisionModel, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from ip2p_lightning.conditioners.multimodal import VICUNA_TEMPLATE, MultimodalConditioner
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.interop.components import load_components, pipeline_index
from ip2p_lightning.interop.pipeline import objective_of
from ip2p_lightning.methods.editing_model import EditingModel
from ip2p_lightning.models.account import Account
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import UNetDenoiser
from ip2p_lightning.models.edit_head import EditHead
from ip2p_lightning.models.folder_files import check_folder, read_settings
from ip2p_lightning.models.loading import load_model, load_tokenizer, quiet
from ip2p_lightning.models.torch_file import budget_of, named_tensors, read_torch
from ip2p_lightning.models.visual_tokens import PATCH, special_ids, with_visual_tokens
from ip2p_lightning.models.weight_files import WeightsError, find_settings, local_folder

MLLM, UNET = "mllm.pt", "unet.pt"
"""Names of the release's files."""
_HEADS = 4
"""Attention heads of the edit head, which shapes do not tell."""
_TOKENS = 8
"""[IMG] tokens of the release."""
_TEXT = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "max_position_embeddings", "rms_norm_eps", "hidden_act",
)  # fmt: skip
"""Entries of LLaVA's config.json that make its language model."""
_FROM_RELEASE = {
    "model.embed_tokens.weight": "model.language_model.embed_tokens.weight",
    "lm_head.weight": "lm_head.weight",
}
"""Weights of the language model that the release trained, and their names in transformers."""
_HEAD, _PROJECTOR = "edit_head.", "model.multi_modal_projector."


def is_release(folder: Path) -> bool:
    """True if a folder holds the two files of the release."""
    return (folder / MLLM).is_file() and (folder / UNET).is_file()


def open_release(
    folder: Path, mllm: str | Path, vision: str | Path, base: str | Path, dtype: torch.dtype
) -> tuple[EditingModel, Account]:
    """The release as a model of this package, to be used once the account has been checked.

    Args:
        folder: of `mllm.pt` and `unet.pt`.
        mllm: folder of LLaVA-7B v1 in the layout of its authors (config.json of a `LlavaLlamaForCausalLM`), merged.
        vision: folder or hub name of CLIP ViT-L/14.
        base: folder or hub name of InstructPix2Pix.
        dtype: of the weights in memory.

    Raises:
        WeightsError: files that are not there, damaged, or of models that do not fit together.
    """
    account = Account(str(folder))
    release = named_tensors(read_torch(folder / MLLM), folder / MLLM)
    llava = find_settings(mllm)
    settings = _llava_settings(llava)
    rows = _rows(release, folder)
    tokenizer = with_visual_tokens(load_tokenizer(mllm), _TOKENS)
    if len(tokenizer) != rows:
        raise WeightsError(
            f"{folder / MLLM} has {rows} embeddings, the tokenizer of {mllm} and its {_TOKENS} [IMG] tokens make "
            f"{len(tokenizer)}: another LLaVA than the one that it was trained on"
        )
    _check_token_embeddings(release, folder)
    tower: Any = load_model(CLIPVisionModel, vision, dtype=dtype)
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=LlamaConfig(
            **{key: settings[key] for key in _TEXT if key in settings},
            vocab_size=rows, tie_word_embeddings=False, **special_ids(tokenizer),
        ),
        image_token_index=tokenizer.get_vocab()[PATCH],
        image_seq_length=(tower.config.image_size // tower.config.patch_size) ** 2,
        vision_feature_layer=settings.get("mm_vision_select_layer", -1),
        projector_hidden_act="linear",
    )  # fmt: skip
    weights = _language_weights(_llava_tensors(llava, mllm), release, account)
    weights |= {f"model.vision_tower.{name}": tensor for name, tensor in tower.state_dict().items()}
    model = _filled(config, weights, dtype, account)
    head = _edit_head(release, account)
    known = {*_FROM_RELEASE, "emb"}
    account.unexpected += [f"{MLLM}: {name}" for name in release if name not in known and not name.startswith(_HEAD)]
    unet = _unet(folder, base, account)
    parts = load_components(base, pipeline_index(base), dtype=str(dtype).removeprefix("torch."), without=_NOT_FROM_BASE)
    return EditingModel(
        conditioner=MultimodalConditioner(
            model, tokenizer, head.to(dtype), template=VICUNA_TEMPLATE, max_text_length=256, max_new_tokens=96,
            no_repeat_ngram_size=3,
        ),
        denoiser=UNetDenoiser(unet.to(dtype)),
        autoencoder=Autoencoder(parts["vae"]),
        objective=objective_of(parts["scheduler"]),
        sampler=Sampler(parts["scheduler"]),
    ).eval(), account  # fmt: skip


_NOT_FROM_BASE = ("text_encoder", "tokenizer", "unet")


def _llava_settings(folder: Path) -> dict[str, Any]:
    check_folder(folder)
    settings = read_settings(folder / "config.json")
    if "text_config" in settings or "mm_vision_select_layer" not in settings:
        raise WeightsError(
            f"{folder} is no LLaVA v1 in the layout of its authors (config.json has no mm_vision_select_layer); "
            "LLaVA-1.5 and the folders of transformers are other models than the release was trained on"
        )
    return settings


def _llava_tensors(folder: Path, shown: str | Path) -> dict[str, Tensor]:
    """All tensors of LLaVA's shards; pickled ones stay on disk until they are used."""
    from safetensors.torch import load_file

    place = local_folder(folder) or folder
    safe, pickled = sorted(place.glob("*.safetensors")), sorted(place.glob("pytorch_model*.bin"))
    if not safe and not pickled:
        raise WeightsError(f"{shown} holds no weights (pytorch_model*.bin or *.safetensors); copy the whole folder")
    found: dict[str, Tensor] = {}
    for path in safe or pickled:
        found |= load_file(path) if safe else named_tensors(read_torch(path), path)
    return found


def _rows(release: Mapping[str, Tensor], folder: Path) -> int:
    if lacking := [name for name in _FROM_RELEASE if name not in release]:
        raise WeightsError(f"{folder / MLLM} has no {lacking[0]}: not the file of MGIE's release")
    return len(release["model.embed_tokens.weight"])


def _check_token_embeddings(release: Mapping[str, Tensor], folder: Path) -> None:
    """The demo adds `emb` to the visual tokens; training, and this package, the embeddings of the [IMG] tokens."""
    if "emb" not in release:
        return
    rows = release["model.embed_tokens.weight"][-_TOKENS:].double()
    given = release["emb"].double().reshape(-1, rows.shape[1])
    if given.shape != rows.shape or not torch.equal(given, rows):
        apart = f"up to {(given - rows).abs().max():.2g} apart" if given.shape == rows.shape else "of another shape"
        raise WeightsError(
            f"{folder / MLLM}: `emb` and the last {_TOKENS} embeddings are {apart}; the model was trained with the "
            "latter, and would edit differently here and in the release's demo: remove `emb` to take the embeddings"
        )


def _language_weights(llava: dict[str, Tensor], release: Mapping[str, Tensor], account: Account) -> dict[str, Tensor]:
    """LLaVA's tensors in transformers' names, with the release's in the place of those that it trained."""
    found: dict[str, Tensor] = {}
    for name, tensor in llava.items():
        if name in _FROM_RELEASE:
            account.leave_out("LLaVA's own embeddings and output layer, which the release trained", 1)
        elif name.endswith("rotary_emb.inv_freq"):
            account.leave_out("frequencies of positions, which are computed", 1)
        elif projector := re.fullmatch(r"model\.mm_projector\.(weight|bias)", name):
            found[f"{_PROJECTOR}linear_1.{projector[1]}"] = tensor
        elif name.startswith("model.vision_tower."):
            account.leave_out("LLaVA's copy of the vision tower, of which CLIP's own is taken", 1)
        else:
            found[re.sub(r"^model\.", "model.language_model.", name)] = tensor
    found |= {ours: release[theirs] for theirs, ours in _FROM_RELEASE.items()}
    width = len(found.get(f"{_PROJECTOR}linear_1.bias", ()))
    # transformers' projector has two layers; without a nonlinearity, and the second the identity, it is LLaVA v1's one.
    return found | {f"{_PROJECTOR}linear_2.weight": torch.eye(width), f"{_PROJECTOR}linear_2.bias": torch.zeros(width)}


def _filled(
    config: LlavaConfig, weights: dict[str, Tensor], dtype: torch.dtype, account: Account
) -> LlavaForConditionalGeneration:
    with torch.device("meta"), budget_of(weights.values(), account.source):
        own = LlavaForConditionalGeneration(config).state_dict()
    account.fill("mllm", own, weights)
    if account.missing or account.reshaped:
        account.check()
    fitting = {name: tensor for name, tensor in weights.items() if name in own}
    with quiet():
        model: Any = LlavaForConditionalGeneration.from_pretrained(
            None,
            config=config,
            state_dict=fitting,
            dtype=dtype,  # type: ignore[arg-type]
        )
    return model


def _edit_head(release: Mapping[str, Tensor], account: Account) -> Any:
    weights = {name.removeprefix(_HEAD): tensor for name, tensor in release.items() if name.startswith(_HEAD)}
    try:
        with budget_of(weights.values(), account.source):
            head = EditHead(
                input_dim=weights["llm2hid.weight"].shape[1],
                hidden_dim=weights["llm2hid.weight"].shape[0],
                output_dim=weights["hid2feat.weight"].shape[0],
                queries=weights["query"].shape[1],
                layers=len({name.split(".")[3] for name in weights if name.startswith("mapper.encoder.layers.")}),
                heads=_HEADS,
                feedforward_dim=weights["mapper.encoder.layers.0.linear1.weight"].shape[0],
            )
    except (KeyError, IndexError) as error:
        raise WeightsError(f"{account.source}: {MLLM} has no whole edit head ({error} is missing)") from error
    return _loaded(head, "edit_head", weights, account)


def _unet(folder: Path, base: str | Path, account: Account) -> Any:
    weights = named_tensors(read_torch(folder / UNET), folder / UNET)
    place = find_settings(base, "unet")
    check_folder(place, local_folder(base))
    with quiet(), budget_of(weights.values(), account.source):
        unet: Any = UNet2DConditionModel.from_config(read_settings(place / "config.json"))
    return _loaded(unet, "unet", weights, account)


def _loaded(network: Any, part: str, weights: dict[str, Tensor], account: Account) -> Any:
    own: dict[str, Tensor] = network.state_dict()
    account.fill(part, own, weights)
    fitting = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict(fitting, strict=False)
    return network
