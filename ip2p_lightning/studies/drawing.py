"""Figures of studies: lines over seeds, trade-off curves, grids of pictures. A run that is missing shows as a gap."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ip2p_lightning.studies.table import Row, Table

# Distinguishable without red and green, and in grey (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#f0e442")
MARKERS = "osD^vPX*"


def new_figure(columns: int = 1, rows: int = 1, width: float = 4.6, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; `width` and `height` of one of them in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [axis for row in axes for axis in row]


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
    _finish(axes)


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
    _finish(axes)


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
    _finish(axes)


def picture_grid(
    rows: Sequence[str], columns: Sequence[str], picture: Callable[[int, int], Image.Image | None], side: float = 1.1
) -> Figure:
    """Pictures in a grid with titles; a cell without one is hatched and says "missing".

    Args:
        rows: titles on the left.
        columns: titles on top.
        picture: (row, column) -> picture or None.
        side: of a cell in inches.
    """
    figure = Figure(figsize=(side * len(columns) + 1.2, side * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, j in ((i, j) for i in range(len(rows)) for j in range(len(columns))):
        cell, image = axes[i][j], picture(i, j)
        cell.set_xticks([])
        cell.set_yticks([])
        if image is None:
            cell.patch.set_hatch("///")
            cell.text(0.5, 0.5, "missing", ha="center", va="center", fontsize=7, transform=cell.transAxes)
        else:
            cell.imshow(image)
        if i == 0:
            cell.set_title(columns[j], fontsize=8)
        if j == 0:
            cell.set_ylabel(rows[i], fontsize=8, rotation=0, ha="right", va="center")
    return figure


def save_figure(figure: Figure, path: Path, gaps: Sequence[Row] = ()) -> list[Path]:
    """Write `path`.svg and `path`.png, the same bytes for the same figure; missing runs are named below it."""
    if gaps:
        names = ", ".join(row.run for row in gaps[:3]) + (" ..." if len(gaps) > 3 else "")
        figure.supxlabel(f"{len(gaps)} missing: {names}", fontsize=7, color="#b00020")
    files = [path.with_suffix(".svg"), path.with_suffix(".png")]
    with mpl.rc_context({"svg.hashsalt": "ip2p_lightning", "svg.fonttype": "path"}):
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1], dpi=160, metadata={"Software": None})
    return files


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)
