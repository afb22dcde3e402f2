"""Text-to-image: the loss is diffusers' own algebra, captions are dropped, and the pipeline is Stable Diffusion's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline
from factories import quiet_trainer, tiny_batch
from torch.utils.data import DataLoader

from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.config import build, compose
from ip2p_lightning.diffusion.objective import DiffusionObjective
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.text_to_image import TextToImageModule
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import build_unet
from ip2p_lightning.models.patch_pca import PatchPCA
from ip2p_lightning.models.text_encoder import build_text_encoder
from ip2p_lightning.world.tokenizer import world_tokenizer

SCHEDULE = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
STAGE = Stage("both", {"image_loss": 1.0}, {"*": {"lr": 5e-3}}, max_steps=12)
TINY = [
    "conditioner.text_encoder.hidden_size=16", "unet.embedding_dim=16", "unet.widths=[8,8]", "unet.heads=2",
    "unet.latent_channels=12", "autoencoder.vae.latent_channels=12", "autoencoder.vae.sources=null",
    "data.train.size=16", "data.train.count=8", "data.validation.count=4", "data.batch_size=4", "data.workers=0",
    "stages.0.max_steps=2", "trainer.precision=32-true", "~callbacks.summary", "callbacks.progress.line_interval=1000",
]  # fmt: skip


def module(dropout: float = 0.0, channels: int = 12, **options) -> TextToImageModule:
    tokenizer = world_tokenizer()
    conditioner = TextConditioner(tokenizer, build_text_encoder(tokenizer, 16, 1, 2, 16))
    parts = {
        "conditioner": conditioner,
        "unet": build_unet(channels, 16, (8, 8), heads=2, sample_size=4),
        "autoencoder": Autoencoder(PatchPCA(2, 12)),
        "objective": DiffusionObjective(DDPMScheduler(**SCHEDULE)),
        "scheduler": DDIMScheduler(**SCHEDULE, timestep_spacing="trailing", clip_sample=False, steps_offset=1),
    }
    return TextToImageModule(**(parts | options), dropout=dropout, stages=[STAGE])


def test_the_loss_is_that_of_both_pictures_under_their_captions():
    method, batch = module(), tiny_batch()
    loss = method(batch, torch.Generator().manual_seed(0))["image_loss"]
    generator = torch.Generator().manual_seed(0)
    latents = method.autoencoder.encode_edited(torch.cat([batch.original_image, batch.edited_image]))
    noise = torch.randn(latents.shape, generator=generator)
    times = (torch.rand(6, generator=generator) * 1000).long()
    scheduler = DDPMScheduler(**SCHEDULE)
    states = method.conditioner.encode([*batch.original_caption, *batch.edited_caption]).embeddings
    prediction = method.unet(scheduler.add_noise(latents, noise, times), times, states).sample
    expected = (prediction - scheduler.get_velocity(latents, noise, times)).square().mean()
    torch.testing.assert_close(loss, expected)


def test_dropped_captions_do_not_matter():
    batch = tiny_batch()
    other = replace(batch, edited_caption=["a bus"] * 3)
    for dropout, same in [(1 - 1e-9, True), (0.0, False)]:
        method = module(dropout)
        losses = [method(one, torch.Generator().manual_seed(0))["image_loss"] for one in (batch, other)]
        assert torch.equal(*losses) == same
    with pytest.raises(ValueError, match="share of captions"):
        module(dropout=1.0)


def test_it_learns():
    method, batch = module(), tiny_batch()
    one = DataLoader([batch], batch_size=None)
    trainer = quiet_trainer(max_steps=12)
    (before,) = trainer.validate(method, one, verbose=False)
    trainer.fit(method, DataLoader([batch] * 12, batch_size=None))
    (after,) = trainer.validate(method, one, verbose=False)
    assert after["val/image_loss"] < before["val/image_loss"]


def test_parts_that_do_not_fit():
    with pytest.raises(ValueError, match=r"have 12 channels, the UNet takes 8 and gives 8"):
        module(channels=8)
    with pytest.raises(ValueError, match=r"set unet\.embedding_dim=16"):
        module(unet=build_unet(12, 24, (8, 8), heads=2))
    with pytest.raises(ValueError, match=r"teaches 'v_prediction' but the DDIMScheduler expects 'epsilon'"):
        module(scheduler=DDIMScheduler())
    with pytest.raises(ValueError, match="have no captions"):
        module()(replace(tiny_batch(), original_caption=[""] * 3))


def test_the_pipeline_is_stable_diffusion_s_and_round_trips(tmp_path):
    method = module().eval()
    pipeline = method.pipeline()
    assert type(pipeline) is StableDiffusionPipeline
    call = {"num_inference_steps": 2, "guidance_scale": 2.0, "height": 8, "width": 8, "output_type": "pt"}
    expected = pipeline("a red house", generator=torch.Generator().manual_seed(0), **call).images
    assert expected.shape == (1, 3, 8, 8)
    pipeline.save_pretrained(tmp_path)
    again = StableDiffusionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.tokenizer.model_max_length == 16
    torch.testing.assert_close(
        again("a red house", generator=torch.Generator().manual_seed(0), **call).images, expected
    )


def test_the_shipped_size_fits_its_share_of_the_package():
    config = compose("train", ["experiment=zoo/text_to_image", "output_dir=x", "autoencoder.vae.sources=null"])
    assert 2 * sum(p.numel() for p in build(config.method).parameters()) < 12_000_000


def test_the_experiment_of_the_zoo_runs_and_its_checkpoint_reopens(tmp_path):
    trained = train(compose("train", ["experiment=zoo/text_to_image", f"output_dir={tmp_path}", *TINY]))
    assert trained.metrics["val/image_loss"] > 0
    again = load_method(trained.checkpoint, TextToImageModule)
    state = trained.module.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
