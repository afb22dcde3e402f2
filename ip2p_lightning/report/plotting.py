"""The one style of all figures: colours, markers, axes, grids of images, and files with the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

# Distinguishable without red and green, and in grey (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#f0e442")
MARKERS = "osD^vPX*"


def new_figure(columns: int = 1, rows: int = 1, width: float = 4.6, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; `width` and `height` of one of them in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [axis for row in axes for axis in row]


def finish(axes: Axes) -> None:
    """Give axes the grid, the frame and the legend that every figure has."""
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)


def picture_grid(
    rows: Sequence[str], columns: Sequence[str], picture: Callable[[int, int], Image.Image | None], side: float = 1.1
) -> Figure:
    """Images in a grid with titles; a cell without one is hatched and says "missing".

    Args:
        rows: titles on the left.
        columns: titles on top.
        picture: (row, column) -> image or None.
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


def save_figure(figure: Figure, path: Path, gaps: Sequence[str] = ()) -> list[Path]:
    """Write `path`.svg and `path`.png, the same bytes for the same figure; missing runs are named below it."""
    if gaps:
        names = ", ".join(gaps[:3]) + (" ..." if len(gaps) > 3 else "")
        figure.supxlabel(f"{len(gaps)} missing: {names}", fontsize=7, color="#b00020")
    files = [path.with_suffix(".svg"), path.with_suffix(".png")]
    with mpl.rc_context({"svg.hashsalt": "ip2p_lightning", "svg.fonttype": "path"}):
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1], dpi=160, metadata={"Software": None})
    return files
