"""Small stages of drawn pairs whose scores tell the truth, for tests of what lies on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch

from ip2p_lightning.data.mistakes import MISTAKE, RIGHT
from ip2p_lightning.generation.base import Candidate, Draw, EditTriple, PairScores
from ip2p_lightning.generation.filter import PairFilter
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.merge import merge
from ip2p_lightning.generation.pairs import MakePairs, recorded
from ip2p_lightning.generation.rendering import RenderedPairs
from ip2p_lightning.generation.search import FixedSearch
from ip2p_lightning.generation.stages import run_stage
from ip2p_lightning.generation.world_triples import WorldCaptions
from ip2p_lightning.generation.writers.grammar import GrammarWriter

SPLITS = {"train": 0.5, "test": 0.5}


class Truth:
    """Scores drawn pairs by the mistakes that their maker says it made; right ones differ by their seed."""

    name = "truth"

    def score(self, triple: EditTriple, pairs: Sequence[Candidate]) -> list[PairScores]:
        right = [pair.metadata[MISTAKE] == RIGHT for pair in pairs]
        grain = [pair.draw.seed / 2**34 for pair in pairs]
        return [PairScores(0.8, 0.4 * yes + more, 0.3, 0.3) for yes, more in zip(right, grain, strict=True)]


def trainer() -> L.Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(accelerator="cpu", devices=1, enable_model_summary=False, use_distributed_sampler=False, **quiet)


def triples(count: int) -> list[EditTriple]:
    written = GrammarWriter().write([*WorldCaptions(count, "simple")])
    return sorted((entry for entry in written if isinstance(entry, EditTriple)), key=lambda triple: triple.id)


def make(
    folder: Path, entries: Sequence[EditTriple], maker: Any = None, stored: float = 1.0, keep: int = 2,
    scorer: Any = None, **asked: Any,
) -> Ledger:  # fmt: skip
    """Six pairs of each triple, under a filter that asks those whom it is given."""
    search = FixedSearch(PairFilter(keep=keep, **asked), candidates=6)
    ledger = Ledger(folder / "pairs", ".tar")
    work = MakePairs(maker or RenderedPairs(16), scorer or Truth(), search, rejected=stored)
    run_stage(trainer(), work, entries, ledger, 2)
    return ledger


def merged(folder: Path, ledger: Ledger, verdicts: dict[str, list[str]] | None = None, texts: Any = None) -> Any:
    options: dict[str, Any] = {"splits": SPLITS, "name": "n", "licence": "l", "provenance": {}}
    return merge(folder / "dataset", recorded(ledger), verdicts or {}, texts or {}, **options)


class Broken:
    """A maker with a fault: pictures that are not finite, black ones, or an error."""

    name, calls = "broken", 0

    def __init__(self, fault: str) -> None:
        self.fault, self.maker = fault, RenderedPairs(16)

    def make(self, triple: EditTriple, candidates: Sequence[Draw], steps: int | None = None) -> list[Candidate]:
        if self.fault == "error":
            raise FloatingPointError("overflow")
        good = self.maker.make(triple, candidates)
        value = {"nan": float("nan"), "black": -1.0}[self.fault]
        return [replace(good[0], edited_image=torch.full_like(good[0].edited_image, value)), *good[1:]]
