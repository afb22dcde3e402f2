"""Marks of a vision-language model as metrics: semantic consistency, perceptual quality, and both in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric
from ip2p_lightning.metrics.judges.vlm_judge import Edit

if TYPE_CHECKING:
    from ip2p_lightning.metrics.judges.vlm_judge import VLMJudge

Aspect = Literal["sc", "pq", "overall"]
_LABELS = {"sc": "SC (VLM)", "pq": "PQ (VLM)", "overall": "overall (VLM)"}


class JudgedEdit(EditMetric):
    """One of the marks that a `VLMJudge` gives, 0 to 10; NaN where its answer could not be read.

    Metrics that share a judge with a folder of verdicts, or that look at the same batch, ask it but once.

    Args:
        judge: gives the verdicts.
        aspect: "sc" for semantic consistency, "pq" for perceptual quality, "overall" for their geometric mean.
    """

    higher_is_better = True
    label: ClassVar[str] = "VLM judge"
    ceiling: ClassVar[bool] = True
    counted: ClassVar[str] = "unreadable_answers"

    def __init__(self, judge: VLMJudge, aspect: Aspect = "overall") -> None:
        super().__init__()
        if aspect not in _LABELS:
            raise ValueError(f"aspect={aspect!r}: choose {', '.join(_LABELS)}")
        self.judge, self.aspect = judge, aspect
        self.label = _LABELS[aspect]  # type: ignore[misc]

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        edits = [
            Edit(to_pil(original), to_pil(edited), instruction)
            for original, edited, instruction in zip(pairs.original_image, images, pairs.instruction, strict=True)
        ]
        verdicts = self.judge.judge(edits)
        asked = {"sc": "consistency", "pq": "quality", "overall": ""}[self.aspect]
        self.reasons = ["; ".join(fault for fault in one.failures if fault.startswith(asked)) for one in verdicts]
        return torch.tensor([getattr(verdict, self.aspect) for verdict in verdicts], device=images.device)

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"aspect": self.aspect} | self.judge.provenance()
