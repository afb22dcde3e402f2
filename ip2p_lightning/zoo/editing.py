"""What the shipped editors share: how one is packed and opened, and what its card measures."""

from __future__ import annotations

from pathlib import Path

import torch

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.editors.ours import TrainedEditor
from ip2p_lightning.evaluation.evaluate import Kept, evaluate
from ip2p_lightning.interop import export
from ip2p_lightning.methods.checkpoint import load_module
from ip2p_lightning.metrics import L1, AttributeSuccess, EditMetric, ErrorHalved, KeptRegionError, NearerThanInput
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.metrics.encoders.judge import JudgeReader
from ip2p_lightning.zoo.precision import open_in_float32
from ip2p_lightning.zoo.registry import load as load_model

LARGEST_BYTES = 13_000_000
OF_PHOTOGRAPHS = (
    "It edits 64 x 64 pixels: drawn scenes of the embedded world, and photographs by local operations (light, colour, "
    "blur, sketch, mosaic). It does not know the things on photographs, and cannot add, remove or replace them there.",
    "It was trained on crops of five photographs that scikit-image brings.",
)
"""Limits of every editor here."""
PHOTO_KINDS = (
    "brightness", "contrast", "saturation", "black_and_white", "sepia", "sketch", "mosaic", "blur", "painting",
)  # fmt: skip
"""What training does to photographs (conf/data/world_and_photos.yaml, conf/data/broad_and_photos.yaml)."""


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
    """How near edits come to the truth, beside copying the input, and what the judge finds in them.

    Args:
        editor: what is measured.
        pairs: of the model's level.
        root: where the judge lies; in the package if None.

    Returns:
        For the pairs and as many crops of the test photographs, under "scenes" and "photographs": mean error and that
        of copying (grey levels), shares of edits that are nearer to the truth than the input is and that halve its
        error, error where nothing may change; for the scenes the judge's success and its ceiling, over all and by
        kind; for models that write, the share of texts that are exactly right.
    """
    judge = JudgeReader(load_model("judge", root))
    judged = {"success": AttributeSuccess(judge, whole=True), "attributes kept": AttributeSuccess(judge, of="kept")}
    sets: dict[str, PairSource] = {
        "scenes": pairs,
        "photographs": PhotoSource(len(pairs), size=pairs.size, kinds=PHOTO_KINDS, split="test"),
    }
    figures: dict[str, Interval] = {}
    for name, source in sets.items():
        metrics = _METRICS if name == "photographs" else {**_METRICS, **judged}
        figures |= {f"{name}: {what}": figure for what, figure in _figures(editor, source, metrics, pairs.size).items()}
    return figures


_METRICS: dict[str, EditMetric] = {
    "error": L1(peak=255),
    "nearer": NearerThanInput(),
    "halved": ErrorHalved(),
    "kept": KeptRegionError(),
}


def _figures(
    editor: TrainedEditor, pairs: PairSource, metrics: dict[str, EditMetric], size: int
) -> dict[str, Interval]:
    """Figures of one set; `success` by kind, too."""
    transform = PairTransform(size, flip=0.0).evaluation()
    result = evaluate(editor, pairs, metrics, batch_size=50, transform=transform, kept=Kept(examples=0, worst=0))
    figures: dict[str, Interval] = {}
    for name, figure in result.figures.items():
        figures[name] = figure.ours
        if name == "error" and figure.copying is not None:
            figures["error of copying"] = figure.copying
        if figure.truth is not None:
            figures[f"{name}, ceiling"] = figure.truth
    for kind, values in result.kinds.items():
        if (success := values.get("success")) is not None and success.truth is not None:
            figures[f"{kind}, success"] = success.ours
            figures[f"{kind}, ceiling"] = success.truth
    return figures
