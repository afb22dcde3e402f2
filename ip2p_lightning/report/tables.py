"""Evaluations as tables for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from ip2p_lightning.evaluation.figures import Figure, MetricInfo
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.formatting import number, plural, span

_STYLES = {"better": "green", "worse": "red", "undecided": "yellow"}


def metrics_table(result: EvaluationResult) -> Table:
    """Every metric: ours with its interval, copying the input, and the paired difference with its interval.

    Where the true images themselves score less than perfectly, their figure stands next to it as what can be reached.
    Of a metric that applies to some of the edits alone, their number stands behind its name.
    """
    confidence = f"{100 * result.intervals.confidence:g}% intervals"
    title = f"{result.name}: {plural(result.pairs, 'pair')}, {plural(result.rows.num_rows, 'edit')}, {confidence}"
    table = Table(title=title, title_justify="left")
    table.add_column("metric", min_width=16)
    bounded = any(figure.truth for figure in result.figures.values())
    for column in ("ours", "copying", "difference", *(["truth"] if bounded else [])):
        table.add_column(column, justify="right", no_wrap=column != "difference")
    for name, info in result.metrics.items():
        figure = result.figures.get(name)
        if figure is None:
            table.add_row(info.label + _unit(info), "no value")
            continue
        truth = [Text(number(figure.truth.estimate, info.unit) if figure.truth else "")] if bounded else []
        values, edits = figure.ours.values, result.rows.num_rows
        some = f", {values:,} of {edits:,}" if values < edits else ""
        table.add_row(info.label + _unit(info) + some, *_cells(figure, info), *truth)
    return table


def kinds_table(result: EvaluationResult, metric: str | None = None) -> Table:
    """One metric for each kind of edit, the kinds that beat copying clearest first.

    Args:
        result: the evaluation.
        metric: column name; None for the result's main one.

    Raises:
        ValueError: the metric was not measured, or none compares with copying.
    """
    metric = metric or result.main
    if metric is None or metric not in result.figures:
        raise ValueError(f"{metric!r} was not measured; choose one of {', '.join(result.figures)}")
    info = result.metrics[metric]
    table = Table(title=f"{info.label}{_unit(info)} by kind of edit", title_justify="left")
    table.add_column("kind")
    for column in ("pairs", "ours", "copying", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    figures = [(kind, found[metric]) for kind, found in result.kinds.items() if metric in found]
    figures.sort(key=lambda item: item[1].difference.estimate if item[1].difference else item[1].ours.estimate)
    if info.higher_is_better:
        figures.reverse()
    for kind, figure in figures:
        table.add_row(kind.replace("_", " "), str(figure.ours.groups), *_cells(figure, info))
    return table


def probes_table(result: EvaluationResult, metric: str) -> Table:
    """One metric for each set and probe of a benchmark.

    Args:
        result: the evaluation.
        metric: column name, of `result.figures`.
    """
    info = result.metrics[metric]
    table = Table(title=f"{info.label}{_unit(info)} by probe", title_justify="left")
    table.add_column("probe")
    for column in ("pairs", "ours", "copying", "difference", *(["truth"] if info.ceiling else [])):
        table.add_column(column, justify="right", no_wrap=True)
    for probe, figures in result.probes.items():
        if metric in figures:
            figure = figures[metric]
            truth = [Text(number(figure.truth.estimate, info.unit))] if figure.truth else []
            table.add_row(probe, str(figure.ours.groups), *_cells(figure, info), *truth)
    return table


def _unit(info: MetricInfo) -> str:
    return f" ({info.unit})" if info.unit not in ("", "share") else ""


def _cells(figure: Figure, info: MetricInfo) -> list[Text]:
    cells = []
    for interval, style in ((figure.ours, ""), (figure.difference, _STYLES.get(figure.verdict or "", ""))):
        cell = Text()
        if interval is not None:
            cell.append(number(interval.estimate, info.unit), style=style)
            cell.append(f" ({span(interval, info.unit)})", style="dim")
        cells.append(cell)
    copying = number(figure.copying.estimate, info.unit) if figure.copying else ""
    return [cells[0], Text(copying), cells[1]]
