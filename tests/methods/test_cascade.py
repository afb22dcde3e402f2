"""A cascade stage: the loss is a straight transcription; dropped captions, crops, checks, training, reopening."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from factories import quiet_trainer, tiny_batch
from torch.utils.data import DataLoader

from ip2p_lightning.conditioners.caption import CaptionConditioner
from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.diffusion.low_resolution import LowResolution
from ip2p_lightning.diffusion.objective import DiffusionObjective
from ip2p_lightning.diffusion.stage_sampling import StageSampler
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.cascade import CascadeModule
from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.models.efficient_unet import EfficientUNet
from ip2p_lightning.models.pixel_transformer import PixelTransformer
from ip2p_lightning.models.t5 import build_t5
from ip2p_lightning.world.tokenizer import world_tokenizer

TEXT: dict[str, Any] = {"text_dim": 16, "text_width": 8, "pooling_heads": 2}
STAGE = Stage("all", {"image_loss": 1.0}, {"network.*": {"lr": 5e-3}}, max_steps=12)
TINY = [
    "data.train.count=8", "stages.0.max_steps=2", "trainer.precision=32-true", "~callbacks.summary",
    "callbacks.progress.line_interval=1000",
]  # fmt: skip


def conditioner(null_text: str = "zeros") -> CaptionConditioner:
    tokenizer = world_tokenizer()
    return CaptionConditioner(tokenizer, build_t5(tokenizer, 16), 20, null_text)  # type: ignore[arg-type]


def module(super_resolution: bool = False, null_text: str = "zeros", predict: str = "epsilon", **options: Any):
    torch.manual_seed(0)
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=predict)
    network: Any = PixelTransformer(8, patch_size=2, width=16, layers=1, heads=2, **TEXT)
    low = LowResolution(2, scheduler) if super_resolution else None
    if super_resolution:
        network = EfficientUNet(
            16, widths=(8,), blocks=(1,), attention=("self",), heads=2, condition_width=8, norm_groups=4, **TEXT
        )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    parts = {
        "conditioner": conditioner(null_text), "network": network, "objective": DiffusionObjective(scheduler),
        "sampler": StageSampler(scheduler, 3), "low_resolution": low, "dropout": 0.0, "stages": [STAGE],
    }  # fmt: skip
    return CascadeModule(**(parts | options))


@pytest.mark.parametrize("predict", ["epsilon", "v_prediction", "sample"])
def test_the_base_loss_is_the_papers(predict: str):
    method, batch = module(predict=predict), tiny_batch(size=16)
    loss = method(batch, torch.Generator().manual_seed(0))["image_loss"]
    generator = torch.Generator().manual_seed(0)
    images = torch.cat([batch.original_image, batch.edited_image])
    x = F.interpolate(images, (8, 8), mode="bilinear", antialias=True)
    noise = torch.randn(x.shape, generator=generator)
    times = (torch.rand(6, generator=generator) * 1000).long()
    alpha = method.objective.scheduler.alphas_cumprod[times].view(6, 1, 1, 1)
    noised = alpha.sqrt() * x + (1 - alpha).sqrt() * noise
    captions = [*batch.original_caption, *batch.edited_caption]
    prediction = method.network(noised, times, method.conditioner.states(captions)).sample[:, :3]
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * x
    target = {"epsilon": noise, "v_prediction": velocity, "sample": x}[predict]
    torch.testing.assert_close(loss, (prediction - target).square().mean())


def test_the_super_resolution_loss_is_the_papers():
    method, batch = module(super_resolution=True), tiny_batch(size=16)
    loss = method(batch, torch.Generator().manual_seed(0))["image_loss"]
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([batch.original_image, batch.edited_image])
    low = F.interpolate(x, (8, 8), mode="bilinear", antialias=True)
    low = F.interpolate(low, (16, 16), mode="bilinear", align_corners=True)
    levels = torch.randint(1000, (6,), generator=generator)
    table = method.objective.scheduler.alphas_cumprod
    level = table[levels].view(6, 1, 1, 1)
    low = level.sqrt() * low + (1 - level).sqrt() * torch.randn(x.shape, generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    times = (torch.rand(6, generator=generator) * 1000).long()
    alpha = table[times].view(6, 1, 1, 1)
    noised = alpha.sqrt() * x + (1 - alpha).sqrt() * noise
    states = method.conditioner.states([*batch.original_caption, *batch.edited_caption])
    prediction = method.network(torch.cat([noised, low], 1), times, states, class_labels=levels).sample[:, :3]
    torch.testing.assert_close(loss, (prediction - noise).square().mean())


@pytest.mark.parametrize("null_text", ["zeros", "empty"])
def test_dropped_captions_become_the_null_text(null_text: str):
    batch = tiny_batch(size=16)
    other = replace(batch, original_caption=["a bus"] * 3)
    method = module(null_text=null_text, dropout=1 - 1e-9)
    losses = [method(one, torch.Generator().manual_seed(0))["image_loss"] for one in (batch, other)]
    assert torch.equal(*losses)
    null = method.conditioner.encode(["a bus"]).null_embeddings
    assert torch.equal(null, torch.zeros_like(null) if null_text == "zeros" else method.conditioner.states([""]))
    method.dropout = 0.0
    losses = [method(one, torch.Generator().manual_seed(0))["image_loss"] for one in (batch, other)]
    assert not torch.equal(*losses)


def test_crops_are_places_of_the_image():
    method, batch = module(super_resolution=True, crop=8), tiny_batch(size=16)
    crops = method.images(batch, torch.Generator().manual_seed(3))
    images = torch.cat([batch.original_image, batch.edited_image])
    places = set()
    for crop, image in zip(crops, images, strict=True):
        found = [(y, x) for y in range(9) for x in range(9) if torch.equal(image[:, y : y + 8, x : x + 8], crop)]
        assert len(found) >= 1
        places |= set(found)
    assert len(places) > 1
    assert method(batch)["image_loss"].isfinite()
    assert method.sample(["a bus"], torch.zeros(1, 3, 8, 8)).shape == (1, 3, 16, 16)  # whole images


def test_the_text_encoder_never_learns():
    method, batch = module(dropout=0.1), tiny_batch(size=16)
    before = {name: tensor.clone() for name, tensor in method.conditioner.state_dict().items()}
    quiet_trainer(max_steps=12).fit(method, DataLoader([batch] * 12, batch_size=None))
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.conditioner.state_dict().items())
    assert not method.conditioner.text_encoder.training


def test_it_learns():
    method, batch = module(super_resolution=True, predict="sample"), tiny_batch(size=16)
    one = DataLoader([batch], batch_size=None)
    trainer = quiet_trainer(max_steps=12)
    (before,) = trainer.validate(method, one, verbose=False)
    trainer.fit(method, DataLoader([batch] * 12, batch_size=None))
    (after,) = trainer.validate(method, one, verbose=False)
    assert after["val/image_loss"] < 0.8 * before["val/image_loss"]


def test_cached_states_give_the_same_loss():
    method, batch = module(), tiny_batch(size=16)
    cached = {name: states for encoding in method.encodings() for name, states in encoding.encode(batch).items()}
    losses = [
        method(one, torch.Generator().manual_seed(0))["image_loss"] for one in (batch, replace(batch, cached=cached))
    ]
    assert torch.equal(*losses)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"set network\.text_dim=16"):
        module(network=PixelTransformer(8, patch_size=2, width=16, layers=1, heads=2, text_dim=8, text_width=8))
    with pytest.raises(ValueError, match=r"takes 3 channels; a super-resolution stage needs 6"):
        module(low_resolution=LowResolution(2, DDPMScheduler()))
    with pytest.raises(ValueError, match="teaches 'epsilon' but the sampler's DDPMScheduler expects 'sample'"):
        module(sampler=StageSampler(DDPMScheduler(prediction_type="sample")))
    with pytest.raises(ValueError, match="differ in beta_schedule"):
        module(sampler=StageSampler(DDPMScheduler(beta_schedule="linear")))
    with pytest.raises(ValueError, match="crop=9"):
        module(crop=9)
    with pytest.raises(ValueError, match="dropout=1"):
        module(dropout=1)
    with pytest.raises(ValueError, match="have no captions"):
        module()(replace(tiny_batch(size=16), edited_caption=[""] * 3))
    with pytest.raises(ValueError, match="needs low-resolution images"):
        module(super_resolution=True).sample(["a bus"])
    with pytest.raises(ValueError, match="takes no low-resolution images"):
        module().sample(["a bus"], torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("stage", ["base", "sr256", "sr1024"])
def test_tiny_stages_train_and_reopen(stage: str, tmp_path):
    trained = train(compose("train", [f"experiment=imagen/tiny/{stage}", f"output_dir={tmp_path}", *TINY]))
    assert list((tmp_path / "images").glob("step-*.png"))
    assert ("val/consistency" in trained.metrics) == (stage != "base")
    opened = load_method(trained.checkpoint, CascadeModule)
    assert opened.conditioner.null_text == "zeros"
    low = None if stage == "base" else torch.zeros(2, 3, opened.side // 2, opened.side // 2)
    images = [
        method.sample(["a bus", "a red castle"], low, generator=torch.Generator().manual_seed(0))
        for method in (opened, trained.module.eval())
    ]
    assert torch.equal(*images)


@pytest.mark.parametrize(
    ("stage", "schedule"), [("base", "squaredcos_cap_v2"), ("sr256", "squaredcos_cap_v2"), ("sr1024", "linear")]
)
def test_the_published_recipe(stage: str, schedule: str):
    config = plain(compose("train", [f"experiment=imagen/paper/{stage}", "data.path=unused", "output_dir=unused"]))
    trainer = config["trainer"]
    assert 2 * config["data"]["batch_size"] * trainer["num_nodes"] * 8 == 2048
    assert config["objective"]["scheduler"]["beta_schedule"] == schedule
    assert config["objective"]["scheduler"]["prediction_type"] == "epsilon"
    assert config["method"]["dropout"] == 0.1
    assert config["data"]["transform"]["resolution"] == config["network"]["sample_size"]
    assert (config["crop"], config["stages"][0]["warmup"]) == (256 if stage == "sr1024" else None, 10000)
    with torch.device("meta"):
        encoder = build(config["conditioner"]["text_encoder"] | {"weights": None})
    assert 4.6e9 < sum(parameter.numel() for parameter in encoder.parameters()) < 4.9e9
    assert encoder.config.hidden_size == 4096
