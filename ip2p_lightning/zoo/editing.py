"""Packing, opening and measuring of the shipped editors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.editors.base import Around, Editor
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.evaluate import ExampleSelection, evaluate
from ip2p_lightning.interop import export
from ip2p_lightning.methods.checkpoint import load_module
from ip2p_lightning.metrics import L1, AttributeSuccess, CloserThanInput, EditMetric, ErrorHalved, KeptRegionError
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.metrics.encoders.judge import JudgeReader
from ip2p_lightning.zoo.precision import open_in_float32
from ip2p_lightning.zoo.registry import load as load_model

LARGEST_BYTES = 13_000_000
LEVEL = "broad"
LIMITS = (
    "It edits 64 x 64 pixels: drawn scenes of the embedded world, and photographs by local operations (light, colour, "
    "blur, sketch, mosaic). It does not know the things on photographs, and cannot add, remove or replace them there.",
    "It was trained on crops of five photographs that scikit-image brings.",
    "Of the drawn scenes it knows the broad level: one large thing and a balloon, every kind of edit that they allow.",
    "What it blurs keeps some grain, and what it paints again is coarse, small things most.",
)
"""Limits of every editor here."""
VISUAL = "visual"
"""The kind of edit whose instructions need the image: "let one season pass", "paint the tent like the balloon"."""
PHOTO_KINDS = (
    "brightness", "contrast", "saturation", "black_and_white", "sepia", "sketch", "mosaic", "blur", "painting",
)  # fmt: skip
"""Treatment of photographs in training (conf/data/broad_and_photos.yaml)."""


def pack(checkpoint: Path, folder: Path) -> None:
    """Write the averaged weights of a run as a pipeline folder; networks in float16, the closed-form codec as it is."""
    module = load_module(checkpoint)
    module.conditioner.half()
    module.denoiser.half()
    export(module, folder)
    open_in_float32(folder)


def load(folder: Path) -> TrainedEditor:
    """The editor in float32."""
    return TrainedEditor.from_pretrained(folder, dtype=torch.float32, batch_size=50)


def measure(editor: TrainedEditor, pairs: WorldSource, root: Path | None = None) -> dict[str, Interval]:
    """Errors of edits against the truth and against copying the input, and the judge's readings.

    Args:
        editor: what is measured.
        pairs: of the model's level.
        root: where the judge lies; in the package if None.

    Returns:
        For the pairs, as many crops of the test photographs and as many pairs whose instructions need the image,
        under "scenes", "photographs" and "visual": mean error and that of copying (grey levels), shares of edits that
        are nearer to the truth than the input is and that halve its error, error where nothing may change; for scenes
        the judge's success and its ceiling, over all and by kind; for models that write, the share of texts that are
        exactly right, and what their texts are worth (`worth_of_writing`).
    """
    judge = JudgeReader(load_model("judge", root))
    success = {"success": AttributeSuccess(judge, whole=True)}
    judged = {**_METRICS, **success, "attributes kept": AttributeSuccess(judge, of="kept")}
    photographs = PhotoSource(len(pairs), size=pairs.size, kinds=PHOTO_KINDS, split="test")
    figures = _named("scenes", _figures(editor, pairs, judged, pairs.size))
    figures |= _named("photographs", _figures(editor, photographs, _METRICS, pairs.size))
    needing = WorldSource(len(pairs), size=pairs.size, level=pairs.level, kinds=[VISUAL], split=pairs.split)
    figures |= _named(VISUAL, _figures(editor, needing, judged, pairs.size, by_kind=False))
    figures |= _named(VISUAL, worth_of_writing(editor, needing, success, root))
    return figures


def worth_of_writing(
    editor: TrainedEditor, pairs: WorldSource, metrics: Mapping[str, EditMetric], root: Path | None = None
) -> dict[str, Interval]:
    """Take a model's expressive instructions away from it, and give them to a model that has none.

    MGIE's claim is that these texts are what helps: then it must fail without them, and an
    InstructPix2Pix given them must do better than with the brief ones.

    Args:
        editor: one that writes; nothing is measured of others.
        pairs: whose instructions need the image.
        metrics: by name.
        root: where the zoo's InstructPix2Pix lies; the figures of it are left out where it is not there.

    Returns:
        Figures "nothing written, ..." and "InstructPix2Pix given the text, ...".
    """
    conditioner = editor.module.conditioner
    if not (isinstance(conditioner, LanguageModelConditioner) and conditioner.expressive):
        return {}
    figures: dict[str, Interval] = {}
    with suppress(FileNotFoundError):
        told = Told(load_model("instruct_pix2pix", root), conditioner)
        told_figures = _figures(told, pairs, metrics, pairs.size, by_kind=False)
        figures |= _named("InstructPix2Pix given the text", told_figures, ", ")
    conditioner.expressive = False
    try:
        figures |= _named("nothing written", _figures(editor, pairs, metrics, pairs.size, by_kind=False), ", ")
    finally:
        conditioner.expressive = True
    return figures


class Told(Around):
    """An editor that is given, in place of each instruction, what a language model makes of it.

    Args:
        editor: carries it out.
        writer: looks at the image and the instruction, and writes.
    """

    def __init__(self, editor: Editor, writer: LanguageModelConditioner) -> None:
        super().__init__(editor)
        self.writer = writer

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`; tensors of one size alone."""
        images = torch.stack([cast("Tensor", request.image) for request in requests])
        texts = self.writer.write([request.instruction for request in requests], images)
        asked = [replace(request, instruction=text) for request, text in zip(requests, texts, strict=True)]
        return self.editor.edit_prepared(asked, on_step)


_METRICS: dict[str, EditMetric] = {
    "error": L1(peak=255),
    "closer_than_input": CloserThanInput(),
    "error_halved": ErrorHalved(),
    "kept": KeptRegionError(),
}


def _named(what: str, figures: Mapping[str, Interval], separator: str = ": ") -> dict[str, Interval]:
    return {f"{what}{separator}{name}": figure for name, figure in figures.items()}


def _figures(
    editor: Editor, pairs: PairSource, metrics: Mapping[str, EditMetric], size: int, by_kind: bool = True
) -> dict[str, Interval]:
    """Figures of one set; `success` by kind, too."""
    transform = PairTransform(size, flip=0.0).evaluation()
    result = evaluate(
        editor, pairs, metrics, batch_size=50, transform=transform, kept=ExampleSelection(examples=0, worst=0)
    )
    figures: dict[str, Interval] = {}
    for name, figure in result.figures.items():
        figures[name] = figure.ours
        if name == "error" and figure.copying is not None:
            figures["error of copying"] = figure.copying
        if figure.truth is not None:
            figures[f"{name}, ceiling"] = figure.truth
    for kind, values in result.kinds.items() if by_kind else ():
        if (success := values.get("success")) is not None and success.truth is not None:
            figures[f"{kind}, success"] = success.ours
            figures[f"{kind}, ceiling"] = success.truth
    return figures
