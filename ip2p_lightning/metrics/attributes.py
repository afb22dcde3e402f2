"""Edit success: does a judge read the required changes in the edited image, and everything else as before?

For pairs whose metadata hold the attributes of both images (the embedded world). The judge errs, too: what it finds
in the true images stands next to each figure as its ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric
from ip2p_lightning.metrics.missing import Missing, check_missing, gaps
from ip2p_lightning.world.attributes import changed, kept

if TYPE_CHECKING:
    from ip2p_lightning.metrics.encoders.judge import JudgeReader

_LABELS = {
    ("changed", False): "asked attributes brought about",
    ("changed", True): "edit brought about",
    ("kept", False): "other attributes kept",
    ("kept", True): "all else kept",
    ("both", False): "attributes right",
    ("both", True): "edit brought about and all else kept",
}


class AttributeSuccess(EditMetric):
    """Share of an edit's attributes that the judge reads as they should be.

    Args:
        judge: reads images; metrics that share one share its readings.
        of: "changed" for those that the edit must bring about, "kept" for those that it must leave alone, "both".
        whole: 1 or 0, for whether all of them are right, in place of their share.
        missing: what to do about pairs without attributes: "error", or "gap" to leave them out.
    """

    higher_is_better = True
    label: ClassVar[str] = _LABELS["changed", False]
    unit: ClassVar[str] = "share"
    ceiling: ClassVar[bool] = True

    def __init__(
        self,
        judge: JudgeReader,
        of: Literal["changed", "kept", "both"] = "changed",
        whole: bool = False,
        missing: Missing = "error",
    ) -> None:
        super().__init__()
        if (of, whole) not in _LABELS:
            raise ValueError(f"of={of!r}: choose changed, kept or both")
        self.judge, self.of, self.whole = judge, of, whole
        self.missing: Missing = check_missing(missing)
        self.label = _LABELS[of, whole]  # type: ignore[misc]

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        truths = [_attributes(entry) for entry in pairs.metadata or [{}] * len(pairs)]
        present = [truth is not None for truth in truths]
        what = "metadata['attributes'] of both images (pairs of the embedded world have them)"
        empty = gaps(present, pairs, metric=self.label, what=what, missing=self.missing)
        values = [self._value(*pair) for pair in zip(self.judge.read(images), truths, strict=True)]
        return torch.tensor(values, device=images.device) + empty.to(images.device)

    def provenance(self) -> dict[str, Any]:
        settings = {"of": self.of, "whole": self.whole, "missing": self.missing}
        return super().provenance() | settings | {"judge": self.judge.provenance()}

    def _value(self, reading: Mapping[str, str], truth: tuple[dict[str, str], dict[str, str]] | None) -> float:
        if truth is None:
            return torch.nan
        before, after = truth
        wanted = {"changed": changed, "kept": kept}[self.of](before, after) if self.of != "both" else after
        right = [reading.get(name) == value for name, value in wanted.items()]
        if not right:
            return torch.nan
        return float(all(right)) if self.whole else sum(right) / len(right)


def _attributes(entry: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]] | None:
    sides = entry.get("attributes")
    return (sides["original"], sides["edited"]) if isinstance(sides, Mapping) else None
