"""A cascade stage's training step and sampling, against the same by others on the same weights and noise.

A step with cached text states is compared with the text encoder in every step, as users of imagen-pytorch run it;
sampling with diffusers' IF pipelines, where ours takes captions that were encoded once for all stages and seeds.

python benchmarks/cascade.py [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from interleaved import clock, interleave, report
from transformers import T5Config, T5EncoderModel

from ip2p_lightning.conditioners.caption import CaptionConditioner
from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.diffusion.stage_sampling import StageSettings
from ip2p_lightning.interop.cascade import stage_pipeline
from ip2p_lightning.methods.cascade import CascadeModule
from ip2p_lightning.world.tokenizer import world_tokenizer

SMALL: dict[str, Any] = {"d_model": 512, "d_ff": 1024, "d_kv": 64, "num_layers": 8, "num_heads": 6}
"""T5 version 1.1 small, the smallest that is published."""


def module(quick: bool) -> CascadeModule:
    """The world's base stage over a text encoder of T5-small's size with random weights."""
    config = plain(compose("train", ["experiment=imagen/world/base", "output_dir=unused", "network.text_dim=512"]))
    tokenizer = world_tokenizer()
    size = SMALL | ({"num_layers": 2} if quick else {})
    encoder = T5EncoderModel(T5Config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", **size))
    conditioner = CaptionConditioner(tokenizer, encoder)
    parts = {part: build(config[part]) for part in ("network", "objective", "sampler")}
    return CascadeModule(conditioner, **parts, stages=build(config["stages"]))


def training(method: CascadeModule, count: int) -> dict[str, Callable[[], float]]:
    """A step on the same pairs, with the encoder in it and with cached states."""
    source = WorldSource(count, 32)
    transform = PairTransform(32, flip=0.0)
    batch = PairBatch.collate([transform(source[index]) for index in range(count)])
    cached = {name: value for encoding in method.encodings() for name, value in encoding.encode(batch).items()}
    optimizer = torch.optim.AdamW(method.network.parameters(), 1e-4)

    def step(given: PairBatch) -> float:
        start = clock()
        method(given, torch.Generator().manual_seed(0))["image_loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        return clock() - start

    return {
        "text encoder in every step": lambda: step(batch),
        "cached states": lambda: step(replace(batch, cached=cached)),
    }


def sampling(method: CascadeModule, count: int, steps: int, guidance: float) -> dict[str, Callable[[], float]]:
    """The same images of the same captions by diffusers' pipeline, and by ours with captions encoded once."""
    captions = [f"a red castle number {index}" for index in range(count)]
    pipeline: Any = stage_pipeline(method)
    condition = method.conditioner.encode(captions)
    found: dict[str, torch.Tensor] = {}

    def theirs() -> float:
        start = clock()
        nulls = torch.zeros_like(condition.embeddings)
        embeds, _ = pipeline.encode_prompt(captions, do_classifier_free_guidance=False, clean_caption=False)
        found["theirs"] = pipeline(
            prompt_embeds=embeds, negative_prompt_embeds=nulls, num_inference_steps=steps, guidance_scale=guidance,
            generator=torch.Generator().manual_seed(0), output_type="pt",
        ).images  # fmt: skip
        return clock() - start

    def ours() -> float:
        start = clock()
        found["ours"] = method.sample(
            condition,
            settings=StageSettings(steps=steps, guidance=guidance),
            generator=torch.Generator().manual_seed(0),
        )
        return clock() - start

    theirs()
    ours()
    print(f"largest difference of the images: {float((found['ours'] - found['theirs']).abs().max()):.2g} of [-1, 1]")
    return {"diffusers' IFPipeline": theirs, "ours, captions encoded once": ours}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and few, to see that it runs")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.manual_seed(0)
    method = module(quick)
    count, repeats = (2, 2) if quick else (8, 5)
    ways = training(method, count)
    for way in ways.values():
        way()
    facts = {"pairs": count, "text encoder": "T5 1.1 small's size", "network": "imagen/world/base"}
    report("a training step", interleave(ways, repeats), "text encoder in every step", "s", facts)
    method.eval()
    for guidance in (1.0, 1.5):
        ways = sampling(method, count, 2 if quick else 10, guidance)
        facts |= {"guidance": guidance, "steps": 2 if quick else 10}
        report(f"sampling, guidance {guidance}", interleave(ways, repeats), "diffusers' IFPipeline", "s", facts)


if __name__ == "__main__":
    main()
