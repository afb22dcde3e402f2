"""An evaluation's figures for a paper or a slide, each as SVG and PNG: error by kind, amounts of change, losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ip2p_lightning.evaluation.amounts import LEFT, LITTLE, MUCH, RIGHT, amounts
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.report.curves import Curve, smoothed
from ip2p_lightning.report.plotting import COLOURS, new_figure, save_figure

_RELATIVE = "relative"


def save_plates(result: EvaluationResult, folder: str | Path, curves: Sequence[Curve] = ()) -> list[Path]:
    """Draw what the result has figures for.

    Args:
        result: an evaluation.
        folder: gets `kinds`, `amounts` and `losses`, each .svg and .png.
        curves: of the training, with the held-out ones.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    if _RELATIVE in result.figures:
        figure, (axes,) = new_figure(height=0.28 * len(result.kinds) + 1.2)
        draw_kinds(axes, result)
        files += save_figure(figure, folder / "kinds")
    if found := amounts(result):
        figure, (axes,) = new_figure(height=0.34 * len(found) + 1.0)
        draw_amounts(axes, result)
        files += save_figure(figure, folder / "amounts")
    if trained := [curve for curve in curves if not curve.held_out]:
        figure, all_axes = new_figure(columns=len(trained), width=3.4, height=2.4)
        held_out = {curve.name: curve for curve in curves if curve.held_out}
        for axes, curve in zip(all_axes, trained, strict=True):
            draw_losses(axes, curve, held_out.get(curve.name))
        files += save_figure(figure, folder / "losses")
    return files


def draw_kinds(axes: Axes, result: EvaluationResult) -> None:
    """Remaining error relative to copying, by kind: medians with their intervals."""
    known = {kind: figures[_RELATIVE].ours for kind, figures in result.kinds.items() if _RELATIVE in figures}
    rows = [*sorted(known.items(), key=lambda item: item[1].estimate), ("all kinds", result.figures[_RELATIVE].ours)]
    for place, (_, interval) in enumerate(rows):
        axes.plot([interval.low, interval.high], [place, place], color=COLOURS[0], linewidth=1.2)
        axes.plot(interval.estimate, place, "o", color=COLOURS[0], markersize=5)
    axes.axvline(1, color="0.5", linestyle="--", linewidth=0.8)
    axes.set_xlabel("error relative to copying the input (0: the truth)", fontsize=8)
    axes.set_xlim(left=0)
    _name(axes, [f"{kind} ({interval.groups})" for kind, interval in rows])


def draw_amounts(axes: Axes, result: EvaluationResult) -> None:
    """Share of the true change that each edit makes, by kind; the shaded band is the right amount."""
    found = amounts(result)
    for row, amount in enumerate(found):
        parts = np.clip(np.sort(amount.parts), LEFT, RIGHT)
        heights = row + 0.5 * (np.arange(len(parts)) * 0.618034 % 1 - 0.5)
        axes.plot(parts, heights, "o", color=COLOURS[0], markersize=2, alpha=0.45, markeredgewidth=0)
        axes.plot([amount.middle.estimate] * 2, [row - 0.36, row + 0.36], color="black", linewidth=1.4)
    axes.axvspan(LITTLE, MUCH, color="0.92", zorder=0)
    for part in (0, 1):
        axes.axvline(part, color="0.5", linestyle="--", linewidth=0.8)
    axes.set_xlim(LEFT, RIGHT)
    axes.set_xlabel("part of the true change (0: untouched, 1: as the truth)", fontsize=8)
    _name(axes, [f"{amount.kind} ({len(amount.parts)})" for amount in found])


def draw_losses(axes: Axes, train: Curve, held_out: Curve | None = None) -> None:
    """A loss over the steps, its moving average, and the held-out loss as dots; logarithmic if all are above 0."""
    axes.plot(train.steps, train.values, color=COLOURS[0], linewidth=0.6, alpha=0.3)
    axes.plot(train.steps, smoothed(train.values, max(3, len(train.values) // 30)), color=COLOURS[0], linewidth=1.4)
    if held_out is not None:
        axes.plot(held_out.steps, held_out.values, "o", color=COLOURS[5], markersize=3, label="held-out pairs")
        axes.legend(fontsize=7, frameon=False)
    if min(train.values) > 0 and (held_out is None or min(held_out.values) > 0):
        axes.set_yscale("log")
    axes.set_xlabel("steps", fontsize=8)
    axes.set_ylabel(train.name, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _name(axes: Axes, rows: Sequence[str]) -> None:
    axes.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
