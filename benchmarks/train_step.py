"""Our training step against a plain loop that asks every encoder in every step, on the same networks.

The plain loop does what diffusers' train_instruct_pix2pix.py does, in our words: both images and the text go through
their encoders, the empty text too, and the loss is read from the device in each step. The networks have Stable
Diffusion 1.5's shape with an eighth of its widths, the autoencoder a little more: processors work through its large
feature maps so much faster than through the UNet's small ones that an eighth takes a fourth of the plain step, where it
is half of Stable Diffusion's operations (51 % at 256 px). The share that was measured is printed with the result.

python benchmarks/train_step.py [--quick]
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import lightning.pytorch as L
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from interleaved import clock, interleave, report
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from ip2p_lightning.callbacks.cache import EncodingCache
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.sources.memory import MemorySource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.diffusion.dropout import ConditioningDropout
from ip2p_lightning.diffusion.objective import DiffusionObjective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.models.autoencoder import STABLE_DIFFUSION_15, Autoencoder
from ip2p_lightning.models.denoiser import UNetDenoiser
from ip2p_lightning.models.text_encoder import build_text_encoder
from ip2p_lightning.world.tokenizer import world_tokenizer

SCHEDULE: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def networks(divisor: int) -> tuple[UNet2DConditionModel, AutoencoderKL, TextConditioner]:
    """Stable Diffusion 1.5's UNet (8 channels in), autoencoder and text encoder with a part of their widths.

    Args:
        divisor: of the widths, 8 or 32; a little less for the autoencoder's.
    """
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=8,
        block_out_channels=tuple(width // divisor for width in (320, 640, 1280, 1280)),
        norm_num_groups=5 if divisor > 8 else 8,
        attention_head_dim=2,
        cross_attention_dim=768 // divisor,
    )
    widths = tuple(max(8, 5 * width // (4 * divisor) // 4 * 4) for width in (128, 256, 512, 512))
    vae = AutoencoderKL(**{**STABLE_DIFFUSION_15, "block_out_channels": widths, "norm_num_groups": 4})
    tokenizer = world_tokenizer()
    encoder = build_text_encoder(tokenizer, 768 // divisor, layers=12, heads=12, max_length=77)
    text = TextConditioner(tokenizer, encoder, 77).requires_grad_(False).eval()
    return unet.to(DEVICE), vae.requires_grad_(False).eval().to(DEVICE), text.to(DEVICE)


class PlainLoop:
    """The loop a user would write, or copy from an example."""

    def __init__(self, divisor: int, source: MemorySource, size: int, batch_size: int) -> None:
        self.unet, self.vae, self.text = networks(divisor)
        self.scheduler = DDPMScheduler(**SCHEDULE)
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=1e-4)
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1.0)
        transformed = TransformedPairs(source, PairTransform(size, flip=0.5))
        self.loader = DataLoader(transformed, batch_size, shuffle=True, drop_last=True, collate_fn=self.collate)
        self.batches: Iterator[tuple[PairBatch, Tensor]] = chain.from_iterable(repeat(self.loader))
        self.running = 0.0

    def collate(self, examples: list[EditPair]) -> tuple[PairBatch, Tensor]:
        """Images, and token ids of the instructions."""
        batch = PairBatch.collate(examples)
        return batch, self.ids(batch.instruction)

    def ids(self, texts: list[str]) -> Tensor:
        """Token ids [B, 77]."""
        options = {"padding": "max_length", "truncation": True, "max_length": 77, "return_tensors": "pt"}
        return self.text.tokenizer(texts, **options).input_ids

    def encode(self, batch: PairBatch, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents of both images, states of the texts and of the empty text."""
        edited = self.vae.encode(batch.edited_image.to(DEVICE)).latent_dist.sample() * self.vae.config.scaling_factor
        states = self.text.text_encoder(ids.to(DEVICE))[0]
        original = self.vae.encode(batch.original_image.to(DEVICE)).latent_dist.mode()
        return edited, original, states, self.text.text_encoder(self.ids([""]).to(DEVICE))[0]

    def encoder_share(self) -> float:
        """The encoders' part of a step's time."""
        begun = clock()
        self.encode(*next(self.batches))
        encoded = clock()
        self.step()
        return (encoded - begun) / (clock() - encoded)

    def step(self) -> None:
        """One optimizer step."""
        edited, original, states, null = self.encode(*next(self.batches))
        noise = torch.randn_like(edited)
        timesteps = torch.randint(0, 1000, (len(edited),), device=DEVICE)
        noisy = self.scheduler.add_noise(edited, noise, timesteps)
        drawn = torch.rand(len(edited), device=DEVICE)
        states = torch.where((drawn < 0.1).reshape(-1, 1, 1), null, states)
        original = original * (1 - ((drawn >= 0.05) & (drawn < 0.15)).to(original.dtype)).reshape(-1, 1, 1, 1)
        predicted = self.unet(torch.cat([noisy, original], dim=1), timesteps, states, return_dict=False)[0]
        loss = F.mse_loss(predicted.float(), noise.float())
        self.running += loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.rate.step()
        self.optimizer.zero_grad()

    def time(self, steps: int) -> float:
        """Seconds a step, after one that does not count."""
        self.step()
        begun = clock()
        for _ in range(steps):
            self.step()
        return (clock() - begun) / steps


class Stopwatch(L.Callback):
    """Seconds between the end of the first and of the last step."""

    def __init__(self) -> None:
        self.begun = self.ended = 0.0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 1:
            self.begun = clock()
        if trainer.global_step == trainer.max_steps:
            self.ended = clock()


class OurTraining:
    """The same through `EditingModule`, its data module and Lightning's trainer."""

    def __init__(self, divisor: int, source: MemorySource, size: int, batch_size: int, cache: str | None) -> None:
        unet, vae, text = networks(divisor)
        scheduler = DDPMScheduler(**SCHEDULE)
        self.module = EditingModule(
            text,
            UNetDenoiser(unet),
            Autoencoder(vae),
            DiffusionObjective(scheduler),
            Sampler(scheduler),
            ConditioningDropout(0.05, 0.05, 0.05),
            lambda groups: torch.optim.AdamW(groups, lr=1e-4, fused=True),
            [Stage(trainable={"denoiser.*": {}})],
        )
        self.module.to(memory_format=torch.channels_last)
        self.data = EditDataModule(source, transform=PairTransform(size, flip=0.5), batch_size=batch_size)
        self.cache = cache

    def time(self, steps: int) -> float:
        """Seconds a step, after one that does not count; the cache is built before the first."""
        watch = Stopwatch()
        trainer = L.Trainer(
            accelerator="auto",
            devices=1,
            max_steps=steps + 1,
            gradient_clip_val=1.0,
            callbacks=[watch, *([EncodingCache(self.cache)] if self.cache else [])],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self.module, self.data)
        return (watch.ended - watch.begun) / steps


def shares(divisor: int, size: int) -> dict[str, float]:
    """Operations of the encoders and of the UNet's training in one step, relative to each other."""
    unet, vae, text = networks(divisor)
    with FlopCounterMode(display=False) as encoders, torch.no_grad():
        vae.encode(torch.zeros(2, 3, size, size, device=DEVICE))
        states = text.encode(["make it blue"]).embeddings
    latent = torch.zeros(1, 8, size // 8, size // 8, device=DEVICE)
    with FlopCounterMode(display=False) as training:
        unet(latent, torch.zeros(1, device=DEVICE), states).sample.sum().backward()
    counted = encoders.get_total_flops(), training.get_total_flops()
    return {"gigaflops_encoders": counted[0] / 1e9, "gigaflops_training": counted[1] / 1e9}


def main(quick: bool) -> None:
    """Compare the three ways."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    divisor, size, batch_size, steps, repeats = (32, 32, 2, 2, 2) if quick else (8, 256, 2, 4, 5)
    source = MemorySource(WorldSource(16 if quick else 32, size))  # drawn beforehand: what is compared is the step
    with tempfile.TemporaryDirectory() as folder:
        plain = PlainLoop(divisor, source, size, batch_size)
        without, cached = (OurTraining(divisor, source, size, batch_size, cache) for cache in (None, folder))
        ways: dict[str, Callable[[], float]] = {
            "plain loop": lambda: plain.time(steps),
            "ours": lambda: without.time(steps),
            "ours, cache=disk": lambda: cached.time(steps),
        }
        seconds = interleave(ways, repeats)
        facts = {"batch": batch_size, "encoder_share": plain.encoder_share(), **shares(divisor, size)}
    report("a training step", seconds, "plain loop", "seconds a step", facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny networks, a few steps: does it run?")
    main(parser.parse_args().quick)
