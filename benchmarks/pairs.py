"""Pairs by a fixed number of candidates, one at a time and batched, against the adaptive search, on the same models.

Reported for each: pairs that pass the filter, samples that went through the denoiser for one of them, pairs a minute,
and the mean directional similarity of what is kept, since fewer calls for worse pairs would be no gain. One at a time
makes the very pairs of the fixed search, so only its time is measured, on a few candidates of each triple. The line of
JSON below the table adds the difference of direction, paired by triple, with its interval.

python benchmarks/pairs.py [--quick] [--triples N] [--seeds S ...] [--pipeline FOLDER] [--clip FOLDER]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging
from interleaved import clock, machine
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from ip2p_lightning.config import build, config_dir
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.generation.base import EditTriple
from ip2p_lightning.generation.prompt_to_prompt import PromptToPromptMaker
from ip2p_lightning.generation.scores import ClipScorer
from ip2p_lightning.generation.search import FixedSearch, Search, SearchResult
from ip2p_lightning.metrics.bootstrap import bootstrap_interval
from ip2p_lightning.metrics.encoders import OpenClipEncoder
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.world.tokenizer import world_tokenizer
from ip2p_lightning.zoo import path
from ip2p_lightning.zoo.text_to_image import load

TIMED = 5
"""Candidates of each triple on which one at a time is timed."""


@dataclass
class Way:
    """Result of one search strategy.

    Args:
        seconds: of all triples.
        results: one a triple; none if only the time was measured.
    """

    seconds: float = 0.0
    results: list[SearchResult] = field(default_factory=list)

    def directions(self) -> list[float]:
        """Mean directional similarity of what each triple keeps, NaN if it keeps nothing."""
        rows = [[pair.scores.direction for pair in result.kept if pair.scores] for result in self.results]
        return [sum(row) / len(row) if row else float("nan") for row in rows]

    def explained(self) -> list[float]:
        """Share of the variance of direction within each triple that a cubic in guidance explains."""
        shares = []
        for result in self.results:
            rows = [(p.draw.guidance_scale, p.scores.direction) for p in result.finished if p.scores]
            guidance, direction = np.array(rows).T
            left = direction - np.polyval(np.polyfit(guidance, direction, 3), guidance)
            shares.append(float(1 - left.var() / direction.var()))
        return shares

    def facts(self) -> dict[str, float]:
        """The figures."""
        kept = sum(len(result.kept) for result in self.results)
        calls = sum(result.calls for result in self.results)
        there = [value for value in self.directions() if value == value]
        return {
            "triples": len(self.results),
            "kept": kept,
            "triples_without": len(self.results) - len(there),
            "candidates": sum(len(result.pairs) for result in self.results),
            "calls": calls,
            "calls_per_pair": calls / max(1, kept),
            "seconds": self.seconds,
            "pairs_per_minute": 60 * kept / self.seconds,
            "direction": sum(there) / max(1, len(there)),
        }


def triples(count: int, seeds: Sequence[int]) -> list[EditTriple]:
    """Edits of the embedded world's simple level, so many of each seed."""
    pairs = [WorldSource(count, level="simple", seed=seed)[index] for seed in seeds for index in range(count)]
    return [EditTriple(p.id, p.original_caption, p.instruction, p.edited_caption, kind=p.kind) for p in pairs]


def settings(group: str, name: str, **changes: Any) -> Any:
    """A part as the configuration tree has it."""
    return OmegaConf.merge(OmegaConf.load(config_dir() / "generation" / group / f"{name}.yaml"), changes)


def searches(quick: bool) -> tuple[FixedSearch, Search]:
    """The paper's search and ours, with the same filter and ranges."""
    rules, fixed, adaptive = settings("filter", "world"), settings("search", "fixed"), settings("search", "world")
    if quick:
        fixed.candidates, adaptive.seeds, adaptive.rounds = 6, 4, 2
        rules.thresholds.update({"image": -1.0, "direction": -1.0, "text": -1.0})
    fixed.ranges = adaptive.ranges
    config = OmegaConf.create({"filter": rules, "seed": 0, "fixed": fixed, "adaptive": adaptive})
    return build(config.fixed), build(config.adaptive)


def run(search: Search, edits: Sequence[EditTriple], maker: PromptToPromptMaker, scorer: ClipScorer) -> Way:
    """Search pairs of all triples."""
    way = Way()
    begun = clock()
    way.results = [search.run(triple, maker, scorer) for triple in edits]
    way.seconds = clock() - begun
    return way


def one_at_a_time(
    search: FixedSearch, edits: Sequence[EditTriple], maker: PromptToPromptMaker, scorer: ClipScorer
) -> Way:
    """The time of the fixed search if each candidate is made and scored alone."""
    few = FixedSearch(search.filter, min(TIMED, search.candidates), search.ranges, search.seed, at_once=1)
    way = run(few, edits, maker, scorer)
    way.seconds *= search.candidates / few.candidates
    return way


def random_clip(folder: Path) -> Path:
    """An untrained dual encoder, to try the benchmark out."""
    return DualEncoder(world_tokenizer(), 8, 16, 8, 16, 1, 8, 16, 1, 2, 64).save(folder, torch.float32)


def main(quick: bool, count: int, pipeline: str | None, clip: str | None, seeds: Sequence[int]) -> None:
    """Compare the three ways."""
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        clip = clip or str(random_clip(Path(folder)) if quick else path("dual_encoder"))
        scorer = ClipScorer(OpenClipEncoder.from_pretrained(f"local-dir:{clip}", preparation="interpolated"))
    maker: PromptToPromptMaker = build(settings("maker", "tiny")) if quick else opened(pipeline)
    edits = triples(1 if quick else count, seeds)
    fixed, adaptive = searches(quick)
    single = PromptToPromptMaker(maker.pipeline, maker.steps, batch_size=4)
    alone, batched, ours = (
        one_at_a_time(fixed, edits, single, scorer),
        run(fixed, edits, maker, scorer),
        run(adaptive, edits, maker, scorer),
    )
    alone.results = batched.results
    tell({"fixed, one at a time": alone, "fixed, batched": batched, "adaptive, batched": ours})


def opened(pipeline: str | None) -> PromptToPromptMaker:
    """The configured maker, with another pipeline if one is named."""
    config = settings("maker", "world")
    if pipeline is None:
        return build(config)
    config.pop("pipeline")
    return build(config, pipeline=load(Path(pipeline)))


def tell(ways: dict[str, Way]) -> None:
    """A table and a line of JSON."""
    facts = {name: way.facts() for name, way in ways.items()}
    table = Table(
        "", "kept", "denoiser samples a pair", "pairs a minute", "mean direction", title="pairs that are kept"
    )
    for name, row in facts.items():
        table.add_row(
            name,
            f"{row['kept']:.0f} of {row['triples']:.0f} triples",
            f"{row['calls_per_pair']:,.0f}",
            f"{row['pairs_per_minute']:.1f}",
            f"{row['direction']:.3f}",
        )
    Console().print(table)
    first, _, last = facts.values()
    rows = zip(ways["adaptive, batched"].directions(), ways["fixed, batched"].directions(), strict=True)
    differences = [ours - theirs for ours, theirs in rows if ours == ours and theirs == theirs]
    interval = bootstrap_interval(differences) if differences else None
    result = {
        "ways": facts,
        "fewer_calls": first["calls_per_pair"] / last["calls_per_pair"],
        "more_pairs_a_minute": last["pairs_per_minute"] / max(1e-12, first["pairs_per_minute"]),
        "guidance_explains": ways["fixed, batched"].explained(),
        "direction_gained": interval and [interval.estimate, interval.low, interval.high],
        "machine": machine(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="random models, two triples: does it run?")
    parser.add_argument("--triples", type=int, default=8, help="edits of each seed")
    parser.add_argument("--pipeline", help="folder of a text-to-image pipeline; the package's own if not given")
    parser.add_argument("--clip", help="folder of open_clip; the package's dual encoder if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 12], help="of the edits")
    arguments = parser.parse_args()
    main(arguments.quick, arguments.triples, arguments.pipeline, arguments.clip, arguments.seeds)
