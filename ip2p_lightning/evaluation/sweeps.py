"""The same images edited at every point of a sweep: a grid of guidance scales, or one parameter of any editor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ip2p_lightning.conditioners.base import Conditioning
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.per_sample_guidance import PerSampleGuidance
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.provenance import digest
from ip2p_lightning.evaluation.rows import as_saved, edited, picture_seeds

Point = Mapping[str, float]
"""Parameters of an editor by name."""


class Sweep(Protocol):
    """An editor with parameters that trade how much is edited against how much is kept."""

    name: str
    """Name in tables and the legend."""
    points: Sequence[Point]
    """The P points, in an order."""
    across: str
    """The parameter along which a curve is drawn; points that differ in others lie on other curves."""

    def pictures(self, pairs: PairBatch, seed: int) -> Iterator[Tensor]:
        """P times edited images as they would be saved, [B, 3, H, W] in [-1, 1], of the same noise at every point."""
        ...

    def provenance(self) -> dict[str, Any]:
        """The editor and its points, as JSON values."""
        ...


class GuidanceSweep:
    """Every combination of s_T and s_I of one of this package's models.

    Texts and originals are encoded once, noise is drawn once, and (image, s_T, s_I) share batches; what the points
    have in common is computed once (see `PerSampleGuidance`). Results are those of `TrainedEditor` but for rounding.

    Args:
        editor: the model.
        text_scales: s_T.
        image_scales: s_I; a curve runs along these, one for each s_T.
        steps: sampling steps; None for the model's own.
        rows: points of images that go through the denoiser at once (times the branches of guidance).
        name: what tables call it.

    Raises:
        ValueError: no scales, or one twice.
    """

    across: str = "image_scale"

    def __init__(
        self,
        editor: TrainedEditor,
        text_scales: Sequence[float],
        image_scales: Sequence[float],
        steps: int | None = None,
        rows: int = 64,
        name: str = "ours",
    ) -> None:
        self.editor, self.steps, self.rows, self.name = editor, steps, rows, name
        for key, scales in (("text_scales", text_scales), ("image_scales", image_scales)):
            _check_values(key, scales)
        self.points: Sequence[Point] = [
            {"text_scale": float(text), "image_scale": float(image)} for text in text_scales for image in image_scales
        ]

    @torch.no_grad()
    def pictures(self, pairs: PairBatch, seed: int) -> Iterator[Tensor]:
        """See `Sweep.pictures`.

        Raises:
            ValueError: images whose sides the model cannot take.
        """
        module = self.editor.module
        originals = pairs.original_image.to(module.device).type(module.dtype)
        with self.editor.computing():
            condition = module.conditioner.condition(pairs.instruction, originals)
            latents = module.autoencoder.encode_original(originals)
        generators = [torch.Generator().manual_seed(number) for number in picture_seeds(pairs, seed)]
        noise = randn_tensor(latents.shape, generators, latents.device, latents.dtype)
        guidances = [module.sampler.guidance.with_scales(**point) for point in self.points]
        edits = torch.empty(len(self.points), *pairs.original_image.shape)
        cells = [(picture, point) for picture in range(len(pairs)) for point in range(len(self.points))]
        with self.editor.computing():  # and not the caller's
            for start in range(0, len(cells), self.rows):
                pictures, points = map(list, zip(*cells[start : start + self.rows], strict=True))
                sampled = module.sample(
                    latents[pictures],
                    Conditioning.of(condition.states[pictures], condition.null_states[pictures]),
                    guidance=cast(
                        "TwoScaleGuidance", PerSampleGuidance([guidances[point] for point in points], pictures)
                    ),
                    steps=self.steps,
                    generator=[generators[picture].clone_state() for picture in pictures],
                    latents=noise[pictures],
                )
                edits[points, pictures] = as_saved(module.autoencoder.decode(sampled))
        yield from edits

    def provenance(self) -> dict[str, Any]:
        """See `Sweep.provenance`."""
        sampler = self.editor.module.sampler
        return {
            "editor": type(self.editor).__name__,
            "sha256": digest(self.editor),
            "scheduler": type(sampler.scheduler).__name__,
            "steps": self.steps or sampler.steps,
            "precision": self.editor.precision,
            "points": [dict(point) for point in self.points],
        }


class EditorSweep:
    """One parameter of any editor: SDEdit's strength, Prompt-to-Prompt's share; or an editor that has none.

    Args:
        name: what tables call it.
        make: `make(**{parameter: value})` gives the editor at a point (a class, or a `functools.partial` that holds the
            networks, so that they are opened once).
        parameter: what is swept; None for an editor that is one point, such as copying the input.
        values: of the parameter.
        sampling: overrides of the editor's own.

    Raises:
        ValueError: a parameter without values, or one twice.
    """

    def __init__(
        self,
        name: str,
        make: Callable[..., Editor],
        parameter: str | None = None,
        values: Sequence[float] = (),
        sampling: SamplingSettings | None = None,
    ) -> None:
        self.name, self.across = name, parameter or ""
        if parameter is not None:
            _check_values(parameter, values)
        self.points: Sequence[Point] = [{parameter: value} for value in values] if parameter else [{}]
        self.sampling = sampling or SamplingSettings()
        self.editors = [make(**point) for point in self.points]

    def pictures(self, pairs: PairBatch, seed: int) -> Iterator[Tensor]:
        """See `Sweep.pictures`."""
        for editor in self.editors:
            yield edited(editor, pairs, seed, self.sampling)[0]

    def provenance(self) -> dict[str, Any]:
        """See `Sweep.provenance`."""
        points = [dict(point) for point in self.points]
        first = self.editors[0]  # the others differ in the parameter alone
        return {
            "editor": type(first).__name__,
            "sha256": digest(first),
            "points": points,
            "sampling": self.sampling.given(),
        }


def _check_values(name: str, values: Sequence[float]) -> None:
    if not len(values) or len(set(values)) != len(values):
        raise ValueError(f"{name}={list(values)}: give at least one value, and none of them twice")
