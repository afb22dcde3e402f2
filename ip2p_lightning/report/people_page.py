"""A study with people as a page: bars of shares by category, strengths with intervals, and the tables behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ip2p_lightning.evaluation.people import ALL, People
from ip2p_lightning.evaluation.preference import Preference
from ip2p_lightning.formatting import plural
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.report.plotting import COLOURS, finish, new_figure, save_figure

TITLES = {"follows": "Alignment: what follows the text better", "looks": "Fidelity: what looks better"}
_TIE = "#c9c4ba"


def write_people_page(
    results: Sequence[People], folder: Path, facts: Sequence[str], provenance: Mapping[str, Any]
) -> Path:
    """Draw the figures and write results.html.

    Args:
        results: a study's answers, counted.
        folder: for the page and its figures.
        facts: sentences below the headline.
        provenance: where the answers come from.
    """
    figures: dict[str, Path] = {}
    for result in results:
        title = TITLES.get(result.question, result.question)
        figures[title] = _draw_shares(result, folder / f"shares-{result.question}")
        if len(result.strengths.systems) > 2:
            figures[f"{title}: strengths"] = _draw_strengths(result, folder / f"strengths-{result.question}")
    page = FigurePage(
        title="What people preferred",
        lede=" ".join(facts),
        figures=figures,
        tables=[table for result in results for table in tables(result)],
        provenance=provenance,
        kicker="ip2p_lightning study",
    )
    return write_figure_page(page, folder / "results.html")


def tables(result: People) -> list[Grid]:
    """Shares by category, and strengths with the agreement of raters in the title."""
    title = TITLES.get(result.question, result.question)
    rows = [
        (category, one.first, one.second, f"{one.choices:,}", *map(_percent, _shares(one)))
        for category, all_pairs in result.shares.items()
        for one in all_pairs
    ]  # fmt: skip
    heads = ("category", "first", "second", "choices", "first", "no difference", "second")
    alpha = result.agreement
    agreed = "unknown (no two raters saw the same comparison)" if math.isnan(alpha.estimate) else _number(alpha)
    ties = f"ties v = {result.strengths.ties:.2f}"
    return [
        Grid(title, heads, rows),
        Grid(
            f"{title}: log strength (Bradley-Terry with ties, {ties}); Krippendorff's alpha {agreed}",
            ("system", "log strength", "choices"),
            [(name, _number(one), f"{one.values:,}") for name, one in _ranked(result)],
        ),
    ]


def _shares(one: Preference) -> tuple[Interval, Interval, Interval]:
    return one.first_share, one.tie_share, one.second_share


def _ranked(result: People) -> list[tuple[str, Interval]]:
    return sorted(result.strengths.systems.items(), key=lambda entry: -entry[1].estimate)


def _draw_shares(result: People, path: Path) -> Path:
    """Stacked bars as in Imagen's figures: first, no difference, second, with the intervals of both systems."""
    rows = [(category, one) for category, pairs in result.shares.items() for one in pairs]
    figure, (axes,) = new_figure(width=6.4, height=0.9 + 0.34 * len(rows))
    names = sorted({name for _, one in rows for name in (one.first, one.second)})
    colour = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    for place, (_, one) in enumerate(rows):
        left = 0.0
        for share, fill in (
            (one.first_share, colour[one.first]),
            (one.tie_share, _TIE),
            (one.second_share, colour[one.second]),
        ):
            axes.barh(place, share.estimate, left=left, color=fill, height=0.72)
            left += share.estimate
        _whisker(axes, place, one.first_share.low, one.first_share.high)
        _whisker(axes, place, 1 - one.second_share.low, 1 - one.second_share.high)
    for name in names:
        axes.barh(0, 0, color=colour[name], label=name)
    axes.barh(0, 0, color=_TIE, label="no difference")
    axes.set_yticks(range(len(rows)), [_row_name(result, category, one) for category, one in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.axvline(0.5, color="black", linewidth=0.6, alpha=0.6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("share of the choices", fontsize=8)
    finish(axes)
    axes.legend(fontsize=7, frameon=False, ncols=len(names) + 1, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return save_figure(figure, path)[0]


def _row_name(result: People, category: str, one: Preference) -> str:
    several = max(map(len, result.shares.values())) > 1
    name = f"{one.first} / {one.second}" if several else ""
    return f"{category}: {name}" if several and category != ALL else name or f"{category} ({one.choices})"


def _whisker(axes: Any, place: float, low: float, high: float) -> None:
    if not (math.isnan(low) or math.isnan(high)):
        axes.plot([low, high], [place, place], color="black", linewidth=1.1, solid_capstyle="butt")


def _draw_strengths(result: People, path: Path) -> Path:
    figure, (axes,) = new_figure(width=6.4, height=0.9 + 0.34 * len(result.strengths.systems))
    ranked = _ranked(result)
    for place, (_, one) in enumerate(ranked):
        axes.plot([one.low, one.high], [place, place], color=COLOURS[0])
        axes.plot(one.estimate, place, "o", color=COLOURS[0])
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("log strength", fontsize=8)
    finish(axes)
    return save_figure(figure, path)[0]


def _percent(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.estimate:.0%}"
    return f"{interval.estimate:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def _number(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.estimate:+.2f}"
    return f"{interval.estimate:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"


def summary(answers: int, raters: int, left_out: int, superseded: int, seconds: float) -> list[str]:
    """Sentences about how the answers came about."""
    facts = [f"{plural(answers, 'answer')} of {plural(raters, 'rater')}."]
    if left_out:
        facts.append(f"Left out for finding too few of the catch trials: {plural(left_out, 'rater')}.")
    if superseded:
        facts.append(f"{plural(superseded, 'answer')} given again or changed: the last one counts.")
    if seconds:
        facts.append(f"Half of the answers took less than {seconds:.1f} s.")
    return [*facts, "Whiskers and brackets are 95% intervals over prompts."]
