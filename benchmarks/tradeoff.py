"""Our trade-off engine against the loop that InstructPix2Pix's evaluation runs, on the same model, noise and machine.

The loop edits one image at one pair of scales at a time: it encodes text and image again, evaluates the denoiser
three times in every step, and embeds both images and both captions for the two figures. Ours must give the same
figures. How much faster it is depends on how far a batch of one is from keeping the machine busy, and on the steps:
before the first one nothing differs between scales. On one thread the processor's seconds are counted, on several
those of the wall, which want a machine that does nothing else.

python benchmarks/tradeoff.py [--quick] [--model CHECKPOINT] [--steps N] [--threads N] [--repeats N]
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, EulerAncestralDiscreteScheduler
from diffusers.utils import logging
from interleaved import clock, interleave, report
from sampling import seeing
from torch import Tensor
from train_step import DEVICE, SCHEDULE, networks

from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.objective import DiffusionObjective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.evaluation.rows import as_saved, picture_seeds, tensors_of
from ip2p_lightning.evaluation.sweeps import GuidanceSweep
from ip2p_lightning.evaluation.tradeoff import tradeoff
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.metrics.encoders import Interpolated, OpenClipEncoder
from ip2p_lightning.metrics.similarity import DirectionSimilarity, InputSimilarity
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import UNetDenoiser
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.states import States
from ip2p_lightning.world.tokenizer import world_tokenizer

TEXT_SCALES, IMAGE_SCALES = (7.5,), (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
"""Those of InstructPix2Pix's `compute_metrics.py`."""
CONTEXT = 64


class EveryBranch:
    """InstructPix2Pix's equation 3 as it is written: three evaluations in every step."""

    def __init__(self, text_scale: float, image_scale: float) -> None:
        self.text_scale, self.image_scale = text_scale, image_scale

    def __call__(
        self,
        denoise: Any,
        noisy: Tensor,
        original: Tensor,
        timesteps: Tensor,
        states: States,
        null: States,
        progress: float = 0.0,
    ) -> Tensor:
        """Guided prediction, as `TwoScaleGuidance`."""
        both, image, neither = denoise(
            torch.cat([noisy] * 3),
            torch.cat([original, original, torch.zeros_like(original)]),
            torch.cat([timesteps] * 3),
            States.cat([states, null, null]),
        ).chunk(3)
        return neither + self.text_scale * (both - image) + self.image_scale * (image - neither)


class Comparison:
    """Both ways to the same curve.

    Args:
        editor: the model.
        encoder: of the two figures.
        source: pairs.
        steps: sampling steps.
        rows: see `GuidanceSweep`.
    """

    def __init__(
        self, editor: TrainedEditor, encoder: OpenClipEncoder, source: WorldSource, steps: int, rows: int
    ) -> None:
        self.editor, self.encoder, self.source, self.steps, self.rows = editor, encoder, source, steps, rows
        self.figures: dict[str, np.ndarray] = {}

    @torch.no_grad()
    def one_at_a_time(self) -> float:
        """Seconds of the loop; keeps the mean direction and similarity at each pair of scales, [P, 2]."""
        begun = clock()
        values = []
        for text_scale in TEXT_SCALES:
            for image_scale in IMAGE_SCALES:
                each = []
                for index in range(len(self.source)):
                    pair = tensors_of(self.source[index], None)
                    edited = self.edit(PairBatch.collate([pair]), text_scale, image_scale)
                    each.append(self.similarities(pair, edited))
                values.append(np.mean(each, axis=0))
        self.figures["one at a time"] = np.array(values)
        return clock() - begun

    def edit(self, batch: PairBatch, text_scale: float, image_scale: float) -> Tensor:
        """One image, everything from the beginning."""
        module = self.editor.module
        original = batch.original_image.to(module.device)
        condition = module.conditioner.condition(batch.instruction, original)
        latents = module.sampler(
            module.denoiser,
            module.autoencoder.encode_original(original),
            condition.states,
            condition.null_states,
            guidance=EveryBranch(text_scale, image_scale),  # type: ignore[arg-type]
            steps=self.steps,
            generator=[torch.Generator().manual_seed(picture_seeds(batch, 0)[0])],
        )
        return as_saved(module.autoencoder.decode(latents))

    def similarities(self, pair: EditPair, edited: Tensor) -> tuple[float, float]:
        """Direction and similarity to the input, with four embeddings."""
        original = torch.as_tensor(pair.original_image)[None]
        before, after = (
            F.normalize(self.encoder.features(self.encoder.preparation(image).to(DEVICE)))
            for image in (original, edited)
        )
        said, wanted = (
            F.normalize(self.encoder.text_features([text])) for text in (pair.original_caption, pair.edited_caption)
        )
        direction = F.cosine_similarity(after - before, wanted - said)
        return direction.item(), F.cosine_similarity(after, before).item()

    def engine(self) -> float:
        """Seconds of ours."""
        begun = clock()
        metrics = {"direction": DirectionSimilarity(self.encoder), "kept": InputSimilarity(self.encoder)}
        sweep = GuidanceSweep(self.editor, TEXT_SCALES, IMAGE_SCALES, self.steps, self.rows)
        intervals = IntervalSettings(resamples=1000)
        result = tradeoff([sweep], self.source, metrics, x="direction", y="kept", intervals=intervals)
        points = [
            (x.estimate, y.estimate) for curve in result.curves.curves for x, y in zip(curve.x, curve.y, strict=True)
        ]
        self.figures["ours"] = np.array(points)
        return clock() - begun


def small_editor(divisor: int) -> TrainedEditor:
    """An editor in the shape of Stable Diffusion 1.5, with random weights that react to what they see."""
    unet, vae, text = networks(divisor)
    scheduler = EulerAncestralDiscreteScheduler(timestep_spacing="linspace", **SCHEDULE)
    objective, sampler = DiffusionObjective(DDPMScheduler(**SCHEDULE)), Sampler(scheduler)
    module = EditingModule(text, UNetDenoiser(seeing(unet.cpu())), Autoencoder(vae), objective, sampler)
    return TrainedEditor(module.requires_grad_(False).to(DEVICE), resolution=64)


def small_clip(quick: bool) -> OpenClipEncoder:
    """The embedded world's CLIP, with random weights: they take the time that trained ones take."""
    torch.manual_seed(0)
    sizes = {"width": 32, "layers": 1, "text_width": 32, "text_layers": 1, "text_heads": 2} if quick else {}
    dual = DualEncoder(world_tokenizer(), context_length=CONTEXT, **sizes)
    options = {"padding": "max_length", "truncation": True, "max_length": CONTEXT, "return_tensors": "pt"}
    preparation = Interpolated(dual.image_size, [0.5] * 3, [0.5] * 3)
    return OpenClipEncoder(
        dual.clip, lambda texts: dual.tokenizer(texts, **options).input_ids, preparation, "random"
    ).to(DEVICE)


def main(
    quick: bool, model: str | None = None, steps: int | None = None, threads: int = 1, repeats: int | None = None
) -> None:
    """Compare both ways."""
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    editor = load_editor(model, str(DEVICE)) if model else small_editor(32)
    steps = steps or (2 if quick else editor.module.sampler.steps if model else 20)
    compared = Comparison(editor, small_clip(quick), WorldSource(2 if quick else 16, 64), steps, rows=56)
    ways = {"one at a time": compared.one_at_a_time, "ours": compared.engine}
    seconds = interleave(ways, repeats or (1 if quick else 2))
    facts = {
        "difference": float(np.abs(compared.figures["ours"] - compared.figures["one at a time"]).max()),
        "pairs": len(compared.source),
        "points": len(TEXT_SCALES) * len(IMAGE_SCALES),
        "steps": steps,
        "model": model or "Stable Diffusion 1.5's shape, widths / 32, random",
    }
    title = f"a curve of {facts['points']} points over {facts['pairs']} pairs in {steps} steps"
    report(title, seconds, "one at a time", "seconds", facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two pairs, two steps: does it run?")
    parser.add_argument("--model", help="a .ckpt of ip2p train, a folder in diffusers' format, or an editor of the zoo")
    parser.add_argument("--steps", type=int, help="sampling steps; the model's own, or 20 without a model")
    parser.add_argument("--threads", type=int, default=1, help="of the processor; seconds of the wall if more than one")
    parser.add_argument("--repeats", type=int, help="of both ways in turns; 2, or 1 if quick")
    given = parser.parse_args()
    main(given.quick, given.model, given.steps, given.threads, given.repeats)
