"""Under- and over-editing: how far edits went along the true change, against how far they should have gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from ip2p_lightning.evaluation.figures import MetricInfo, column_values
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.metrics import Interval

PART = "true_change"
"""Column of the part of the true change that an edit made: 0 for a copy, 1 for the truth."""
LITTLE, MUCH = 0.5, 1.5
"""Below the first an edit stops short, above the second it overdoes; between them lies the right amount."""
LEFT, RIGHT = -0.5, 2.5
"""Ends of the axis on which edits are drawn; what lies beyond is drawn there."""
_DOTS, _HEIGHT = 160, 30
_MIDDLE = MetricInfo(PART, statistic="median")
_SHARE = MetricInfo(PART, "share")


@dataclass(frozen=True)
class Amount:
    """Strength of the edits of a kind.

    Args:
        kind: of edit.
        parts: [N] part of the true change that each edit made.
        middle: their median.
        little: share of edits below `LITTLE`.
        much: share of edits above `MUCH`.
        copied: share left as they were; None where that was not measured.
        lost: mean error where nothing should change, of 255; None where that was not measured.
    """

    kind: str
    parts: np.ndarray
    middle: Interval
    little: Interval
    much: Interval
    copied: Interval | None
    lost: Interval | None

    @property
    def verdict(self) -> str:
        """Verdict "little" or "much" where the median's whole interval says so; else empty."""
        if self.middle.excludes(LITTLE) and self.middle.estimate < LITTLE:
            return "little"
        return "much" if self.middle.excludes(MUCH) and self.middle.estimate > MUCH else ""


def amounts(result: EvaluationResult) -> list[Amount]:
    """Each kind of edit, least done first, then all together; empty where `true_change` was not measured."""
    if PART not in result.rows.column_names:
        return []
    kinds = result.rows.column("kind").to_pylist()
    masks = {kind: pa.array([kind == other for other in kinds]) for kind in sorted(set(kinds))}
    found = [_amount(kind, result.rows.filter(mask), result) for kind, mask in masks.items()]
    known = sorted((amount for amount in found if len(amount.parts)), key=lambda amount: amount.middle.estimate)
    return [*known, _amount("all kinds", result.rows, result)] if known else []


def _amount(kind: str, rows: pa.Table, result: EvaluationResult) -> Amount:
    settings = result.intervals
    groups = rows.column(settings.grouped_by).to_pylist()
    parts = column_values(rows, PART)
    unknown = np.isnan(parts)
    figures = result.figures if kind == "all kinds" else result.kinds.get(kind, {})
    return Amount(
        kind,
        parts[~unknown],
        settings.interval(parts, groups, _MIDDLE),
        settings.interval(np.where(unknown, np.nan, parts < LITTLE), groups, _SHARE),
        settings.interval(np.where(unknown, np.nan, parts > MUCH), groups, _SHARE),
        figures["copy_rate"].ours if "copy_rate" in figures else None,
        figures["kept"].ours if "kept" in figures else None,
    )


def place(part: float) -> float:
    """Position of a share of the true change on the axis, in per cent."""
    return float(100 * (min(max(part, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT))


def amounts_svg(amount: Amount) -> Markup:
    """The edits of a kind as dots along the axis, the median as a line; at most 160, evenly over the ranks.

    The colours are the page's: CSS classes `short`, `right`, `over`, `none`, `whole` and `median`.
    """
    parts = np.sort(amount.parts)
    thin = parts[np.unique(np.linspace(0, len(parts) - 1, min(_DOTS, len(parts))).astype(int))]
    names = np.where(thin < LITTLE, "short", np.where(thin > MUCH, "over", "right"))
    heights = 5 + (np.arange(len(thin)) * 0.618034 % 1) * (_HEIGHT - 10)  # spread, the same each time
    lines = [
        f'<line class="{name}" x1="{place(part):.1f}%" x2="{place(part):.1f}%" y1="0" y2="{_HEIGHT}"/>'
        for name, part in (("none", 0.0), ("whole", 1.0), ("median", amount.middle.estimate))
    ]
    dots = [
        f'<circle class="{name}" cx="{place(part):.1f}%" cy="{height:.1f}" r="2.6"/>'
        for name, part, height in zip(names, thin, heights, strict=True)
    ]
    text = f"{len(parts)} edits, median {amount.middle.estimate:.2f} of the true change"
    head = f'<svg width="100%" height="{_HEIGHT}" role="img" class="amounts">'
    body = Markup("".join([*lines[:2], *dots, lines[2]]))  # numbers and our own class names only
    return Markup(head) + Markup("<title>{}</title>").format(text) + body + Markup("</svg>")
