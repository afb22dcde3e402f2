"""Strength of an edit by three mechanisms, on held-out edits of an editor that ships.

    python benchmarks/strength.py [--editor instruct_pix2pix] [--count 200]

`images` goes from the input towards the result and beyond (`editors/strength.py`), `text scale` moves s_T, `embeddings`
moves the conditioning from the null condition. At each strength: the share of edits that changed more than at the
last one where the truth changes, the change there and the error where nothing may change (grey levels; the mean, and
what 95 % of the edits stay below), and what the judge finds of what was asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ip2p_lightning.conditioners.base import Conditioning
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.editors.strength import STEP, tensor_at_strength
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.metrics import AttributeSuccess
from ip2p_lightning.metrics.encoders.judge import JudgeReader
from ip2p_lightning.metrics.regions import region_error
from ip2p_lightning.zoo import load
from ip2p_lightning.zoo.card import batches

STRENGTHS = [STEP**power for power in range(-3, 3)]
Edit = Callable[[PairBatch, Tensor, Conditioning, float], Tensor]


def mechanisms(editor: TrainedEditor) -> dict[str, Edit]:
    """Name -> `(pairs, their edits, their conditioning, strength) -> images [B, 3, H, W]`."""

    def again(pairs: PairBatch, condition: Conditioning, guidance: TwoScaleGuidance | None = None) -> Tensor:
        noise = [torch.Generator().manual_seed(0) for _ in pairs.id]
        texts = pairs.instruction
        return editor.module.edit(pairs.original_image, texts, condition, generator=noise, guidance=guidance)[0]

    def by_images(pairs: PairBatch, edited: Tensor, condition: Conditioning, strength: float) -> Tensor:
        return tensor_at_strength(pairs.original_image, edited, strength)

    def by_text_scale(pairs: PairBatch, edited: Tensor, condition: Conditioning, strength: float) -> Tensor:
        scales = editor.module.sampler.guidance
        return again(pairs, condition, scales.with_scales(text_scale=scales.text_scale * strength))

    def by_embeddings(pairs: PairBatch, edited: Tensor, condition: Conditioning, strength: float) -> Tensor:
        moved = torch.lerp(condition.null_embeddings, condition.embeddings, strength)
        return again(pairs, replace(condition, embeddings=moved))

    return {"images": by_images, "text scale": by_text_scale, "embeddings": by_embeddings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--editor", default="instruct_pix2pix")
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    editor: TrainedEditor = load(arguments.editor)
    success = AttributeSuccess(JudgeReader(load("judge")), whole=True)
    pairs = list(batches(WorldSource(arguments.count, size=64, level="broad", split="validation")))
    noise = [[torch.Generator().manual_seed(0) for _ in batch.id] for batch in pairs]
    made = [
        editor.module.edit(one.original_image, one.instruction, generator=n)
        for one, n in zip(pairs, noise, strict=True)
    ]
    print(f"{arguments.editor}, {arguments.count} held-out edits")
    for name, mechanism in mechanisms(editor).items():
        print(f"{name}\n  strength   changed   moved as asked   error where it should stay   of 95 %   done as asked")
        last: Tensor | None = None
        for strength in STRENGTHS:
            edits = [
                mechanism(one, *made[place], strength).clamp(-1, 1) for place, one in enumerate(pairs)
            ]  # fmt: skip
            both = list(zip(edits, pairs, strict=True))
            changed = torch.cat([region_error(edit, one.original_image, one.mask) for edit, one in both])  # type: ignore[arg-type]
            kept = torch.cat([region_error(edit, one.edited_image, 1 - one.mask) for edit, one in both])  # type: ignore[operator]
            done = torch.cat([success.measure(edit, one) for edit, one in both])
            moved = "" if last is None else f"{100 * (changed > last).float().mean():.1f} %"
            last = changed
            print(
                f"  {strength:8.2f} {changed.mean():9.1f} {moved:>16} {kept.nanmean():28.2f}"
                f" {kept.nanquantile(0.95):9.2f} {100 * done.nanmean():13.0f} %"
            )


if __name__ == "__main__":
    with torch.no_grad():
        main()
