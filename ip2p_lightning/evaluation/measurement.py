"""Settings that every measurement over held-out pairs has, and its work for another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.evaluation.journal import Key
from ip2p_lightning.evaluation.rows import Transform
from ip2p_lightning.evaluation.work import Advance, Pictures, Row, Work, facts_of
from ip2p_lightning.metrics import EditMetric


class Run(Protocol):
    """A measurement under way in this process."""

    work: Work

    def measure_block(self, block: list[int], advance: Advance) -> tuple[dict[Key, Row], Pictures]:
        """Rows of the pairs at some positions, and the images that may be shown."""
        ...


@dataclass
class Measurement:
    """Base of what measures edits of the same held-out pairs under the same seeds.

    What an edit draws depends on (seed, pair id) alone, so that neither the batch size nor the other pairs matter.

    Args:
        pairs: held-out pairs.
        metrics: column name -> metric; those that share an encoder share its work.
        count: use so many pairs, drawn at random; None for all.
        seeds: one edit of each pair for each of them.
        batch_size: pairs at once.
        transform: PIL pair -> tensor pair, such as `PairTransform.evaluation()`; None keeps the images' own sizes.
        provenance: what to record besides the figures (checkpoint, editor's settings), JSON values.
        device: where metrics measure.
        journal: folder in which rows are kept until all are there; a measurement with the same settings goes on there.
    """

    pairs: PairSource
    metrics: Mapping[str, EditMetric]
    _: KW_ONLY
    count: int | None = None
    seeds: Sequence[int] = (0,)
    batch_size: int = 16
    transform: Transform | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    device: str | torch.device = "cpu"
    journal: str | Path | None = None

    def worker(self) -> Callable[[str], None]:
        """Worker that measures a batch for another process, by the name of its part in the journal."""
        run, _ = self._started()
        return run.work.worker(run.measure_block, self.batch_size)

    def _started(self) -> tuple[Run, dict[str, Any]]:
        """The work with what its journal holds, and the facts that its rows depend on."""
        raise NotImplementedError

    def _facts(self, chosen: Sequence[int], draw: int, **own: Any) -> dict[str, Any]:
        """Everything that rows depend on, JSON values.

        Args:
            chosen: positions of the pairs.
            draw: seed by which they were drawn.
            own: what only this kind of measurement has.
        """
        metrics = {column: metric.to(self.device).provenance() for column, metric in self.metrics.items()}
        return {**facts_of(self.pairs, chosen, draw, self.seeds), **own, "metrics": metrics, **self.provenance}
