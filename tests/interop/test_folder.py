"""Exported folders: other libraries load them, pictures stay the same, round trips are exact."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from factories import IP2P, LGIE, MGIE, PATCH_PCA, TEXT, TRANSFORMER, UNET, WORLD, seeing, tiny_batch, tiny_module
from hub_layout import original_file
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPTextModel, LlamaForCausalLM, LlavaForConditionalGeneration

from ip2p_lightning.config.trust import TrustError
from ip2p_lightning.interop import MGIEPipeline, TextEditingPipeline, export, load_folder
from ip2p_lightning.interop.folder import load_pipeline
from ip2p_lightning.interop.warm_start import initialise
from ip2p_lightning.limits import LimitError
from ip2p_lightning.models.edit_head import EditHead
from ip2p_lightning.models.patch_pca import PatchPCA
from ip2p_lightning.models.weight_files import WeightsError

PCA_UNET = UNET | {"network": UNET["network"] | {"latent_channels": 12}}
POOLED_UNET = UNET | {"network": UNET["network"] | {"pooled_text_heads": 2}}
GATED = TRANSFORMER | {"network": TRANSFORMER["network"] | {"gated": True}}
CONFIGS = {
    "ip2p": IP2P,
    "mgie": MGIE,
    "lgie": LGIE,
    "world": WORLD,
    "gated": WORLD | {"denoiser": GATED},
    "mgie_world": WORLD | {"conditioner": MGIE["conditioner"]},
    "unet_pca": IP2P | {"autoencoder": PATCH_PCA, "denoiser": PCA_UNET},
    "pooled_unet": IP2P | {"denoiser": POOLED_UNET},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    module = tiny_module(CONFIGS[name]).eval()
    torch.nn.init.normal_(next(module.denoiser.network.parameters()), std=0.3)
    export(module, tmp_path)
    loaded = load_folder(tmp_path)
    before, after = module.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    batch = tiny_batch(size=16)
    results = [
        m.edit(
            batch.original_image,
            batch.instruction,
            generator=torch.Generator().manual_seed(0),
            guidance=module.sampler.guidance,
            steps=3,
        )
        for m in (module, loaded)
    ]
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1].expressive_instructions == results[1][1].expressive_instructions


@pytest.mark.parametrize(("text_scale", "image_scale"), [(7.5, 1.5), (7.5, 1.0), (1.0, 1.0)], ids=str)
def test_instruct_pix2pix_runs_in_diffusers_with_the_same_picture(
    text_scale: float, image_scale: float, tmp_path: Path
) -> None:
    module = seeing(tiny_module())
    export(module, tmp_path)
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path)
    batch = tiny_batch(size=16)
    images = pipeline(
        batch.instruction,
        image=(batch.original_image + 1) / 2,
        num_inference_steps=4,
        guidance_scale=text_scale,
        image_guidance_scale=image_scale,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).images
    edited, _ = module.edit(
        batch.original_image,
        batch.instruction,
        steps=4,
        guidance=module.sampler.guidance.with_scales(text_scale, image_scale),
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(images, (edited + 1) / 2, atol=1e-4, rtol=0)


def test_parts_load_alone_in_their_own_libraries(tmp_path: Path) -> None:
    module = tiny_module()
    export(module, tmp_path / "ip2p")
    assert UNet2DConditionModel.from_pretrained(tmp_path / "ip2p", subfolder="unet").config.in_channels == 8
    assert AutoencoderKL.from_pretrained(tmp_path / "ip2p", subfolder="vae").config.latent_channels == 4
    assert CLIPTextModel.from_pretrained(tmp_path / "ip2p", subfolder="text_encoder").config.hidden_size == 32
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ip2p", subfolder="tokenizer")
    assert tokenizer.model_max_length == TEXT["max_length"]
    assert module.conditioner.tokenizer.model_max_length != TEXT["max_length"], "the module's own is left as it was"

    for config, kind, folder in (
        (MGIE, LlavaForConditionalGeneration, "mgie"),
        (LGIE, LlamaForCausalLM, "lgie"),
    ):
        module = tiny_module(config)
        export(module, tmp_path / folder)
        model, report = kind.from_pretrained(tmp_path / folder, subfolder="mllm", output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        own = module.conditioner.model.state_dict()
        assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())
        head = EditHead.from_pretrained(tmp_path / folder, subfolder="edit_head")
        own = module.conditioner.edit_head.state_dict()
        assert all(torch.equal(tensor, own[name]) for name, tensor in head.state_dict().items())
    export(tiny_module(WORLD), tmp_path / "world")
    assert PatchPCA.from_pretrained(tmp_path / "world", subfolder="vae").config.patch_size == 2


def test_weights_are_safetensors_alone(tmp_path: Path) -> None:
    for name in ("ip2p", "mgie"):
        export(tiny_module(CONFIGS[name]), tmp_path / name)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".json", ".md", ".jinja", ".txt"}


def test_model_card_says_how_to_load_and_what_is_inside(tmp_path: Path) -> None:
    export(tiny_module(MGIE), tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: diffusers\n")
    assert "from ip2p_lightning.interop import MGIEPipeline" in card
    assert "| `edit_head` | `EditHead` |" in card
    assert f"and transformers {transformers.__version__}; older releases" in card
    assert re.search(r"built for images of (\d+) x \1 pixels", card)
    export(tiny_module(IP2P), tmp_path)
    assert "from diffusers import StableDiffusionInstructPix2PixPipeline" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, StableDiffusionInstructPix2PixPipeline),
        ({"autoencoder": IP2P["autoencoder"] | {"scale_original": True}}, TextEditingPipeline),
        ({"sampler": IP2P["sampler"] | {"guidance": {
            "_target_": "ip2p_lightning.diffusion.guidance.TwoScaleGuidance", "stop": 0.5}}}, TextEditingPipeline),
        ({"conditioner": MGIE["conditioner"]}, MGIEPipeline),
    ],
)  # fmt: skip
def test_diffusers_own_pipeline_is_used_only_where_it_edits_alike(changes: dict, kind: type, tmp_path: Path) -> None:
    export(tiny_module(**changes), tmp_path)
    assert kind.load_config(tmp_path)["_class_name"] == kind.__name__


def test_folders_that_hold_no_editor(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model_index\.json there"):
        load_folder(tmp_path)
    module = tiny_module()
    StableDiffusionPipeline(
        vae=module.autoencoder.vae,
        text_encoder=module.conditioner.text_encoder,
        tokenizer=module.conditioner.tokenizer,
        unet=module.denoiser.network,
        scheduler=module.sampler.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a StableDiffusionPipeline, which does not edit by instruction"):
        load_folder(tmp_path)


def test_instruct_pix2pix_as_one_original_file_edits_and_begins_a_training(tmp_path: Path) -> None:
    path = tmp_path / "instruct-pix2pix.safetensors"
    original_file(path, channels=8)
    pipeline = load_pipeline(path)
    assert isinstance(pipeline, StableDiffusionInstructPix2PixPipeline)
    assert pipeline.scheduler.config.beta_schedule == "scaled_linear"
    module = load_folder(path)
    edited, _ = module.edit(torch.zeros(1, 3, 32, 32), ["make it winter"], steps=1)
    assert edited.shape == (1, 3, 32, 32)
    module.denoiser.network.conv_in.weight.data.zero_()
    initialise(module, str(path))
    assert torch.equal(module.denoiser.network.conv_in.weight, pipeline.unet.conv_in.weight)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "StableDiffusionXLInstructPix2PixPipeline",
            "an editor of another architecture that this package does not run",
        ),
        ("FluxKontextPipeline", "an editor of another architecture"),
        ("StableDiffusionXLPipeline", "another architecture"),
        ("StableDiffusionPipeline", "base_model=FOLDER"),
        ("DanceDiffusionPipeline", "nothing here can begin with it"),
    ],
)
def test_other_pipelines_are_named_with_what_can_be_done(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
    with pytest.raises(WeightsError, match=rf"holds a {name}, .*{message}") as caught:
        load_folder(tmp_path)
    assert ("init=" in str(caught.value)) is False


@pytest.mark.parametrize(
    "change",
    [
        {"_class_name": ["x"]},
        {"_class_name": {}},
        {"_class_name": None},
        {"text_encoder": ["ip2p_lightning.world.tokenizer", "train_tokenizer"]},
        {"unet": ["os", "system"]},
        {"scheduler": ["subprocess", "Popen"]},
        {"scheduler": ["diffusers", "DiffusionPipeline"]},
        {"vae": ["transformers", "CLIPTextModel"]},
        {"unet": [None, None]},
        {"tokenizer": 7},
    ],
    ids=str,
)
def test_an_index_is_data(change: dict, tmp_path: Path) -> None:
    export(tiny_module(), tmp_path)
    path = tmp_path / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises((WeightsError, TrustError)) as caught:
        load_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "{nope", "[" * 100_000, '"x"', ""])
def test_an_index_that_is_none(text: str, tmp_path: Path) -> None:
    export(tiny_module(), tmp_path)
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises((WeightsError, LimitError), match=r"model_index\.json"):
        load_folder(tmp_path)


def test_a_folder_without_its_weights_does_not_edit(tmp_path: Path) -> None:
    export(tiny_module(), tmp_path)
    path = tmp_path / "text_encoder" / "model.safetensors"
    whole = load_file(path)
    kept = {name: tensor for name, tensor in whole.items() if "token_embedding" not in name and "mlp" not in name}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"text_encoder: .* missing \(embeddings\.token_embedding\.weight"):
        load_folder(tmp_path)


def test_an_image_processor_that_is_listed_and_not_there_is_not_needed(tmp_path: Path) -> None:
    export(tiny_module(), tmp_path)
    path = tmp_path / "model_index.json"
    listed = {"feature_extractor": ["transformers", "CLIPImageProcessor"], "safety_checker": ["x", "Checker"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | listed))
    assert load_folder(tmp_path)


def test_sizes_that_do_not_fit_together_are_refused_in_a_line(tmp_path: Path) -> None:
    export(tiny_module(), tmp_path)
    for part, key, value in (("text_encoder", "hidden_size", 64), ("scheduler", "num_train_timesteps", -3)):
        path = tmp_path / part / ("config.json" if part != "scheduler" else "scheduler_config.json")
        before = path.read_text()
        path.write_text(json.dumps(json.loads(before) | {key: value}))
        with pytest.raises(WeightsError) as caught:
            load_folder(tmp_path)
        assert "\n" not in str(caught.value)
        path.write_text(before)
