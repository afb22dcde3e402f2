"""Trade-off curves as a figure and as a table for the terminal."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from rich.table import Table

from ip2p_lightning.evaluation.tradeoff_result import Tradeoff
from ip2p_lightning.formatting import number, span
from ip2p_lightning.metrics import Interval
from ip2p_lightning.report.plotting import COLOURS, MARKERS, new_figure


def tradeoff_figure(result: Tradeoff) -> Figure:
    """`y` against `x`: a curve an editor, the parameter next to each point, intervals as thin crosses."""
    figure, (axes,) = new_figure(width=5.6, height=4.2)
    for place, curve in enumerate(result.curves.curves):
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        xs, ys = [point.estimate for point in curve.x], [point.estimate for point in curve.y]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=4, label=curve.name)
        for x, y, value in zip(curve.x, curve.y, curve.values, strict=True):
            axes.plot([x.low, x.high], [y.estimate] * 2, color=colour, linewidth=0.7, alpha=0.6)
            axes.plot([x.estimate] * 2, [y.low, y.high], color=colour, linewidth=0.7, alpha=0.6)
            if not math.isnan(value):
                axes.annotate(f"{value:g}", (x.estimate, y.estimate), xytext=(3, 3), textcoords="offset points",
                              fontsize=6, color=colour)  # fmt: skip
    if result.curves.shared is not None:
        axes.axvspan(*result.curves.shared, color="0.5", alpha=0.08, linewidth=0)
    axes.set_xlabel(_axis(result, result.x))
    axes.set_ylabel(_axis(result, result.y))
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8)
    return figure


def tradeoff_table(result: Tradeoff) -> Table:
    """A row a curve: how high it is over the shared range, what it dominates, and how it stands to the first."""
    confidence = f"{100 * result.intervals.confidence:g}% intervals"
    shared = result.curves.shared
    over = f"height over {result.x} {shared[0]:.3g} to {shared[1]:.3g}" if shared else "height (no shared range)"
    table = Table(title=f"{result.y} against {result.x}, {result.pairs} pairs, {confidence}", title_justify="left")
    table.add_column("curve")
    for column in ("points", over, "than the first", "area dominated", "than the first"):
        table.add_column(column, justify="right")
    for curve in result.curves.curves:
        table.add_row(
            curve.name,
            str(len(curve.values)),
            _cell(curve.height),
            _cell(curve.height_difference),
            _cell(curve.dominated),
            _cell(curve.dominated_difference),
        )
    return table


def _cell(interval: Interval | None) -> str:
    if interval is None or math.isnan(interval.estimate):
        return ""
    return f"{number(interval.estimate)} ({span(interval)})"


def _axis(result: Tradeoff, name: str) -> str:
    info = result.metrics[name]
    unit = f" ({info.unit})" if info.unit not in ("", "share") else ""
    return f"{info.label}{unit}"
