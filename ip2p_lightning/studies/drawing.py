"""Figures of a study's table: lines over seeds, trade-off curves, dots. A run that is missing shows as a gap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from ip2p_lightning.report.plotting import COLOURS, MARKERS, finish
from ip2p_lightning.studies.table import Table


def draw_lines(
    axes: Axes,
    table: Table,
    x: str,
    metric: str,
    series: str,
    *,
    names: Mapping[Any, str] | None = None,
    logarithmic: bool = False,
) -> None:
    """A metric over a label: a line a series, a dot a seed, bars as `Average` has them.

    Where all runs of a point are missing, the line is broken and a cross stands on the axis; where some are, the point
    is hollow and says how many there are.

    Args:
        axes: drawn on.
        table: rows with the labels `x` and `series`.
        x: label of the horizontal axis; texts are places in their order.
        metric: name of the value.
        series: label that tells the lines apart.
        names: what the legend calls a series.
        logarithmic: horizontally.
    """
    values = table.labels(x)
    numbers = not any(isinstance(value, str | bool) for value in values)
    places = {v: v for v in sorted(values)} if numbers else {value: index for index, value in enumerate(values)}
    for number, value in enumerate(table.labels(series)):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        found = [(places[key], table.where(**{x: key, series: value}).average(metric)) for key in places]
        found = [(place, average) for place, average in found if average.wanted]
        xs, ys = [place for place, _ in found], [average.mean for _, average in found]
        axes.plot(xs, ys, color=colour, label=str((names or {}).get(value, value)))
        for place, average in found:
            if not average.runs:
                axes.plot(place, 0.02, "x", color=colour, transform=axes.get_xaxis_transform(), clip_on=False)
                continue
            whole = average.runs == average.wanted
            axes.plot(place, average.mean, marker, color=colour, markerfacecolor=colour if whole else "white")
            axes.plot([place] * average.runs, average.single, ".", color=colour, alpha=0.5, markersize=4)
            if not math.isnan(average.low):
                axes.plot([place, place], [average.low, average.high], color=colour, linewidth=0.9)
            if not whole:
                told = f"{average.runs} of {average.wanted}"
                axes.annotate(told, (place, average.mean), xytext=(4, 4), textcoords="offset points", fontsize=7)
    if logarithmic:
        axes.set_xscale("log")
    if not numbers:
        axes.set_xticks(list(places.values()), [str(value) for value in places])
    elif len(places) < 8:
        axes.set_xticks(list(places), [f"{value:,g}" for value in places], minor=False)
        axes.set_xticks([], minor=True)
    finish(axes)


def draw_curves(
    axes: Axes, table: Table, x: str, y: str, series: str, along: str, names: Mapping[Any, str] | None = None
) -> None:
    """Trade-off curves: one metric against another, a curve a series, its points in the order of a label.

    Args:
        axes: drawn on.
        table: rows with the labels `series` and `along`.
        x: name of the horizontal value.
        y: name of the vertical one.
        series: label that tells the curves apart.
        along: label whose value stands at each point.
        names: what the legend calls a series.
    """
    for number, value in enumerate(table.labels(series)):
        colour = COLOURS[number % len(COLOURS)]
        part = table.where(**{series: value})
        points = [(key, part.where(**{along: key})) for key in part.labels(along)]
        found = [(key, rows.average(x), rows.average(y)) for key, rows in points]
        lacking = sum(first.wanted - min(first.runs, second.runs) for _, first, second in found)
        label = str((names or {}).get(value, value)) + (f" ({lacking} missing)" if lacking else "")
        xs, ys = [first.mean for _, first, _ in found], [second.mean for _, _, second in found]
        axes.plot(xs, ys, color=colour, marker=MARKERS[number % len(MARKERS)], markersize=4, label=label)
        for key, first, second in found:
            if first.runs and second.runs:
                at = (first.mean, second.mean)
                axes.annotate(f"{key:g}" if isinstance(key, float | int) else str(key), at, xytext=(3, 3),
                              textcoords="offset points", fontsize=6, color=colour)  # fmt: skip
    finish(axes)


def draw_dots(
    axes: Axes, table: Table, metric: str, row: str, series: str, names: Mapping[Any, str] | None = None
) -> None:
    """A table as dots: a line a label, a colour a series; "missing" without a result, "n/a" without the value."""
    rows, kinds = table.labels(row), table.labels(series)
    for number, value in enumerate(kinds):
        colour = COLOURS[number % len(COLOURS)]
        shift = 0.16 * (number - (len(kinds) - 1) / 2)
        for place, name in enumerate(rows):
            part = table.where(**{row: name, series: value})
            average = part.average(metric)
            label = str((names or {}).get(value, value)) if place == 0 else None
            axes.plot(
                average.mean, place + shift, MARKERS[number % len(MARKERS)], color=colour, label=label, markersize=5
            )
            if not math.isnan(average.low):
                axes.plot([average.low, average.high], [place + shift] * 2, color=colour, linewidth=0.9)
            if average.wanted and not average.runs:
                absent = "missing" if part.gaps else "n/a"
                axes.text(0.01, place + shift, absent, color=colour, fontsize=7, va="center",
                          transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set_yticks(range(len(rows)), [str(name) for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    finish(axes)
