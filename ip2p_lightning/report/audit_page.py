"""An audit as a page, as a table for the terminal, and as a section of a model card."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ip2p_lightning.evaluation.audit.findings import Finding
from ip2p_lightning.evaluation.audit.run import LIGHTER
from ip2p_lightning.files import write_whole
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.report.plotting import COLOURS, finish, new_figure, save_figure

BEGIN, END = "<!-- bias audit -->", "<!-- end of bias audit -->"


def write_audit_page(
    findings: Sequence[Finding],
    misread: Sequence[Finding],
    folder: Path,
    classifier: str,
    provenance: Mapping[str, Any],
) -> Path:
    """Draw the gaps and write audit.html and audit.md.

    Args:
        findings: corrected.
        misread: how often the classifier errs by group.
        folder: for the files.
        classifier: its name.
        provenance: where the images come from.
    """
    page = FigurePage(
        title="Bias audit",
        lede=f"{verdict(findings)} Read by {classifier}, which errs, too. p-values are corrected by Holm's method over "
        "all tests: in a fair system the chance of any flag is at most the level.",
        figures={"Figures by group": _draw(findings, folder / "audit")} if findings else {},
        tables=[
            table("Tests", findings),
            *([table("The classifier's errors on the originals", misread)] if misread else []),
        ],
        provenance=provenance,
        kicker="ip2p_lightning audit",
    )
    write_whole(folder / "audit.md", section(findings, classifier))
    return write_figure_page(page, folder / "audit.html")


def verdict(findings: Sequence[Finding]) -> str:
    """One sentence: how many of the tests are flagged."""
    flagged, tested = sum(one.flagged for one in findings), sum(not math.isnan(one.p) for one in findings)
    level = findings[0].alpha if findings else 0.05
    return (
        f"{flagged} of {tested} tests flagged at the level {level:g}; {len(findings) - tested} had too little to test."
    )


def table(title: str, findings: Sequence[Finding]) -> Grid:
    """A row for each test."""
    heads = ("measure", "subject", "attribute", "groups", "largest gap", "p", "corrected p", "unread", "flagged")
    rows = [
        (
            one.measure,
            one.subject,
            one.attribute,
            ", ".join(f"{name} {_figure(value, one.measure)}" for name, value in one.groups.items()),
            _number(one.gap, one.measure),
            _p(one.p),
            _p(one.corrected),
            f"{one.unread:,}",
            "yes" if one.flagged else "-" if math.isnan(one.corrected) else "no",
        )
        for one in sorted(findings, key=lambda one: (not one.flagged, math.isnan(one.p), one.p))
    ]
    return Grid(title, heads, rows)


def section(findings: Sequence[Finding], classifier: str) -> str:
    """Markdown for a model card, between two marks by which a later audit finds and replaces it."""
    grid = table("", findings)
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in (grid.heads, ["---"] * len(grid.heads), *grid.rows)]
    text = [BEGIN, "## Bias audit", "", f"{verdict(findings)} Read by {_cell(classifier)}.", "", *lines, END]
    return "\n".join(text) + "\n"


def add_section(card: Path, text: str) -> None:
    """Put the section into a model card, in place of an older one."""
    before = card.read_text(encoding="utf-8") if card.is_file() else ""
    kept = re.sub(f"\n*{BEGIN}.*?{END}\n?", "\n", before, flags=re.DOTALL).rstrip("\n")
    write_whole(card, f"{kept}\n\n{text}" if kept else text)


def _draw(findings: Sequence[Finding], path: Path) -> Path:
    shown = [one for one in findings if one.groups][:40]
    figure, (axes,) = new_figure(width=6.8, height=0.9 + 0.3 * len(shown))
    names = list(dict.fromkeys(name for one in shown for name in one.groups))
    labelled = set[str]()
    for place, one in enumerate(shown):
        scale = 1 / 90 if one.measure == LIGHTER else 1.0
        for index, (name, value) in enumerate(one.groups.items()):
            y = place + (index - (len(one.groups) - 1) / 2) * 0.7 / len(one.groups)
            colour = COLOURS[names.index(name) % len(COLOURS)]
            axes.plot([value.low * scale, value.high * scale], [y, y], color=colour, linewidth=1.2)
            label = None if name in labelled or len(names) > 12 else name
            axes.plot(value.estimate * scale, y, "o", markersize=3, color=colour, label=label)
            labelled.add(name)
    labels = [f"{'* ' if one.flagged else ''}{one.measure}: {one.attribute}, {one.subject}" for one in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("share (skin: degrees / 90); * flagged", fontsize=8)
    finish(axes)
    return save_figure(figure, path)[0]


def _figure(value: Interval, measure: str) -> str:
    return f"{_number(value.estimate, measure)} ({_number(value.low, measure)} to {_number(value.high, measure)})"


def _number(value: float, measure: str) -> str:
    if math.isnan(value):
        return "?"
    return f"{value:.1f}°" if measure == LIGHTER else f"{value:.0%}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def _cell(text: str) -> str:
    return re.sub(r"[|<>\n\r]", " ", text)
