"""An editor compared with others on the same pairs: the figures that say most of each, one row an editor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from ip2p_lightning.evaluation.figures import TEXT_EXACT
from ip2p_lightning.evaluation.limits import ERROR, KEPT
from ip2p_lightning.evaluation.result import EvaluationResult, Example
from ip2p_lightning.formatting import NOTHING, number, plural, span

HEADS = {
    ERROR: "error",
    "closer_than_input": "nearer than the input",
    "error_halved": "error halved",
    KEPT: "changed where nothing should",
    TEXT_EXACT: "own text exact",
}
"""Columns, as far as the evaluation has them, and what tables call them."""
OURS = "just trained"
COPYING = "copying the input"


@dataclass(frozen=True)
class Other:
    """Another editor on the same pairs.

    Args:
        name: what rows and images call it.
        result: its evaluation, with the same examples kept.
    """

    name: str
    result: EvaluationResult


class Cell(NamedTuple):
    """A figure and its interval, in words."""

    figure: str = NOTHING
    interval: str = ""


class Row(NamedTuple):
    """An editor's figures, one for each of `heads`, or its mean errors, one for each kind of edit."""

    name: str
    cells: list[Cell]


def heads(result: EvaluationResult) -> list[str]:
    """Names of the columns that can be filled."""
    return [name for name in HEADS if name in result.figures]


def rows(result: EvaluationResult, others: Sequence[Other]) -> list[Row]:
    """Rows for the editor just trained, the others, and copying the input."""
    columns = heads(result)
    copying = [figure.copying for figure in (result.figures[name] for name in columns)]
    units = [result.metrics[name].unit for name in columns]
    cells = [
        Cell(number(found.estimate, unit), span(found, unit)) if found else Cell()
        for found, unit in zip(copying, units, strict=True)
    ]
    return [*(_row(name, found, columns) for name, found in _editors(result, others)), Row(COPYING, cells)]


def kinds(result: EvaluationResult, others: Sequence[Other]) -> list[Row]:
    """Kind of edit -> its mean error by what was just trained, by each of the others, and of copying."""
    found = []
    for kind, figures in result.kinds.items():
        if (ours := figures.get(ERROR)) is None or ours.copying is None:
            continue
        each = [editor.kinds[kind][ERROR].ours for _, editor in _editors(result, others)]
        cells = [Cell(number(error.estimate, "/255"), span(error, "/255")) for error in (*each, ours.copying)]
        found.append(Row(kind.replace("_", " "), cells))
    return found


def same_edits(example: Example, others: Sequence[Other]) -> list[tuple[str, Example]]:
    """The others' edits of an example's pair, where they kept it."""
    return [
        (other.name, edit)
        for other in others
        for edit in other.result.examples
        if (edit.pair, edit.seed) == (example.pair, example.seed)
    ]


def comparison_table(result: EvaluationResult, others: Sequence[Other]) -> Table:
    """`rows` for the terminal."""
    title = f"{result.name}: {plural(result.pairs, 'pair')}, the same for every editor"
    table = Table(title=title, title_justify="left")
    table.add_column("editor", no_wrap=True)
    for name in heads(result):
        table.add_column(HEADS[name], justify="right")
    for row in rows(result, others):
        cells = [Text(cell.figure).append(f" {cell.interval}", style="dim") for cell in row.cells]
        table.add_row(row.name, *cells, style="bold" if row.name == OURS else "")
    return table


def _editors(result: EvaluationResult, others: Sequence[Other]) -> list[tuple[str, EvaluationResult]]:
    return [(OURS, result), *((other.name, other.result) for other in others)]


def _row(name: str, result: EvaluationResult, columns: Sequence[str]) -> Row:
    figures = [(result.figures.get(column), result.metrics.get(column)) for column in columns]
    cells = [
        Cell(number(figure.ours.estimate, info.unit), span(figure.ours, info.unit)) if figure and info else Cell()
        for figure, info in figures
    ]
    return Row(name, cells)
