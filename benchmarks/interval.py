"""Cost of a guidance interval for a trained editor: held-out pairs edited with it and under the whole guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.figures import column_values
from ip2p_lightning.metrics import L1, CloserThanInput, Interval, bootstrap_interval

METRICS = {"error": L1(255), "closer_than_input": CloserThanInput()}


def measured(editor: TrainedEditor, pairs: WorldSource, guidance: TwoScaleGuidance, steps: int) -> dict[str, Any]:
    """Metric -> value [N] of each pair, and the pairs' ids; the same noise whatever the guidance."""
    editor.module.sampler.guidance = guidance
    rows = evaluate(editor, pairs, METRICS, batch_size=32, sampling=SamplingSettings(steps=steps)).rows
    return {name: column_values(rows, name) for name in METRICS} | {"pair": rows.column("pair").to_pylist()}


def told(values: np.ndarray, pairs: Sequence[str], share: bool = False) -> dict[str, float]:
    """Figure and 95 % interval."""
    found: Interval = bootstrap_interval(values, pairs, share=share)
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def quality(
    checkpoint: str, scales: Sequence[float], interval: tuple[float, float], count: int, steps: int
) -> list[dict[str, Any]]:
    """Error (of 255) and share of edits that are nearer to the truth than the input, by guidance.

    Args:
        checkpoint: of an editor trained on the world's simple level.
        scales: s_T, each above 1; s_I is 1.
        interval: first and last fraction of the steps that are guided.
        count: new scenes, made of things that training shows.
        steps: denoising steps.

    Returns:
        One entry for no guidance, then the whole and the interval for each scale, with the paired difference to the
        whole.
    """
    editor = TrainedEditor.from_checkpoint(checkpoint, batch_size=32)
    pairs = WorldSource(count, editor.resolution, seed=1001, split="validation")
    entries = []

    def add(name: str, guidance: TwoScaleGuidance, whole: dict[str, Any] | None = None) -> dict[str, Any]:
        found = measured(editor, pairs, guidance, steps)
        evaluations = sum(len(guidance.branches(step / steps)) for step in range(steps))
        entry: dict[str, Any] = {
            "guidance": name,
            "evaluations": evaluations,
            "error": told(found["error"], found["pair"]),
            "closer_than_input": told(found["closer_than_input"], found["pair"], share=True),
        }
        if whole:
            differences = {key: told(found[key] - whole[key], found["pair"]) for key in METRICS}
            entry["difference"] = differences
        entries.append(entry)
        return found

    add("none", TwoScaleGuidance(1.0, 1.0))
    for scale in scales:
        whole = add(f"s_T = {scale:g}", TwoScaleGuidance(scale, 1.0))
        add(f"s_T = {scale:g}, interval", TwoScaleGuidance(scale, 1.0, *interval), whole)
    return entries


def show(entries: Sequence[dict[str, Any]], title: str) -> None:
    """A table of what `quality` found."""

    def cell(found: dict[str, float], factor: float = 1.0) -> str:
        middle, low, high = (factor * found[key] for key in ("estimate", "low", "high"))
        return f"{middle:.2f} ({low:.2f}, {high:.2f})"

    table = Table("guidance", "evaluations", "error of 255", "difference", "nearer, %", "difference", title=title)
    for entry in entries:
        difference = entry.get("difference")
        table.add_row(
            entry["guidance"],
            str(entry["evaluations"]),
            cell(entry["error"]),
            cell(difference["error"]) if difference else "",
            cell(entry["closer_than_input"], 100),
            cell(difference["closer_than_input"], 100) if difference else "",
        )
    Console(width=130).print(table)
