"""The judge: packed, opened, and its accuracy on held-out scenes, which is the ceiling of all it can say of edits."""

from __future__ import annotations

from pathlib import Path

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.judge import JudgeModule
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.models.loading import load_model
from ip2p_lightning.world.attributes import changed, kept
from ip2p_lightning.zoo.card import batches
from ip2p_lightning.zoo.figures import Tally, family

SUMMARY = "reads from a 64-pixel scene of the embedded world what it shows, attribute by attribute"
EXPERIMENT = "zoo/judge"
LEVEL = "full"
LARGEST_BYTES = 2_000_000
LIMITS = (
    "It knows the drawn scenes of the embedded world alone, at 64 pixels; on photographs its answers mean nothing.",
    "Its mistakes count against whatever it judges: put its own accuracy on the true images next to every figure.",
)


def pack(checkpoint: Path, folder: Path) -> None:
    """Write the averaged weights of a run of `zoo/judge` in float16."""
    load_method(checkpoint, JudgeModule).judge.half().save_pretrained(str(folder))


def load(folder: Path) -> AttributeJudge:
    """The judge in float32."""
    return load_model(AttributeJudge, folder).eval()


def measure(judge: AttributeJudge, pairs: PairSource, root: Path | None = None) -> dict[str, Interval]:
    """Accuracy of the judge on true images.

    Args:
        judge: what is measured.
        pairs: pairs with their attributes.
        root: not used.

    Returns:
        "accuracy" over all attributes, one figure for each family of attributes ("thing" counts empty places, too,
        "thing that is there" does not), and for each kind of edit the share of edited images in which all that the
        edit changes is read right ("edit: recolour"), and of the attributes that it keeps ("kept").
    """
    tally = Tally()
    for batch in batches(pairs):
        sides = (batch.original_image, "original"), (batch.edited_image, "edited")
        for images, side in sides:
            for reading, entry, kind in zip(judge.read(images), batch.metadata, batch.kind, strict=True):
                truth = entry["attributes"]
                tally.compare(reading, truth[side])
                if side == "edited":
                    wanted = changed(truth["original"], truth["edited"])
                    tally.add(f"edit: {kind}", all(reading.get(name) == value for name, value in wanted.items()))
                    for name, value in kept(truth["original"], truth["edited"]).items():
                        tally.add("kept", reading.get(name) == value)
    return tally.intervals(first=("accuracy", *dict.fromkeys(map(family, judge.attributes))))
