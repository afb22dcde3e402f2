"""A benchmark of text-to-image systems as a page: figures by category, a sheet for each, and what was not judged."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.paths import file_inside
from ip2p_lightning.evaluation.prompts.figures import ALL, CategoryFigures
from ip2p_lightning.evaluation.prompts.run import Benchmark
from ip2p_lightning.formatting import plural
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.report.plotting import COLOURS, finish, new_figure, picture_grid, save_figure

_SAMPLES = 2
"""Images of one system for one prompt on a sheet."""


def write_prompts_page(result: Benchmark, figures: Sequence[CategoryFigures], folder: Path, shown: int) -> Path:
    """Draw the figures and sheets, and write benchmark.html.

    Args:
        result: the images.
        figures: what was measured of them.
        folder: of the benchmark.
        shown: prompts on the sheet of each category, the first ones of it.
    """
    plates: dict[str, Path] = {}
    drawn = (("atoms", "Share of judged atoms that are right"), ("clip", "CLIP score"))
    for name, title in drawn:
        if any(getattr(one, name).values for one in figures):
            plates[title] = _draw(figures, name, title, folder / f"figure-{name}")
    for number, category in enumerate(result.prompts.categories):
        if shown:
            title = f"Sheet: {category or result.prompts.name}"
            plates[title] = _sheet(result, category, folder, folder / f"sheet-{number:02d}", shown)
    page = FigurePage(
        title=f"{result.prompts.name}: {plural(len(result.systems), 'system')}",
        lede=_lede(result, figures),
        figures=plates,
        tables=[table(figures)],
        provenance={
            "editor": ", ".join(f"{name} ({mark})" for name, mark in result.facts["systems"].items()),
            "data": {"name": f"{result.prompts.name}, {plural(len(result.prompts.prompts), 'prompt')}",
                     "fingerprint": result.facts["fingerprint"]},
        },
        kicker="ip2p_lightning benchmark",
    )  # fmt: skip
    return write_figure_page(page, folder / "benchmark.html")


def table(figures: Sequence[CategoryFigures]) -> Grid:
    """A row for each system and category."""
    rows = [
        (
            one.category,
            one.system,
            f"{one.images:,}",
            _cell(one.clip, share=False),
            _cell(one.atoms),
            _cell(one.whole),
            f"{one.failures.total():,} of {one.asked:,}" if one.asked else "-",
        )
        for one in sorted(figures, key=lambda one: one.category != ALL)
    ]
    heads = ("category", "system", "images", "CLIP score", "atoms right", "all atoms right", "not judged")
    return Grid("Figures by category, with 95% intervals over prompts", heads, rows)


def _lede(result: Benchmark, figures: Sequence[CategoryFigures]) -> str:
    failures = sum((one.failures for one in figures if one.category == ALL), start=type(figures[0].failures)())
    facts = result.facts
    words = [f"{plural(len(result.prompts.prompts), 'prompt')}, {plural(facts['samples'], 'image')} of each prompt."]
    if facts["encoder"]:
        words.append(f"CLIP score: cosine by {facts['encoder']['weights']}.")
    if facts["judge"]:
        words.append(f"Atoms: answered by {facts['judge']['name']}, which errs, too.")
    if failures:
        named = ", ".join(f"{reason} {count:,}" for reason, count in failures.most_common())
        words.append(f"Without an answer, and in no share: {named}.")
    return " ".join(words)


def _draw(figures: Sequence[CategoryFigures], name: str, title: str, path: Path) -> Path:
    categories = list(dict.fromkeys(one.category for one in figures))
    systems = list(dict.fromkeys(one.system for one in figures))
    figure, (axes,) = new_figure(width=6.4, height=1.0 + 0.2 * len(categories) * (len(systems) + 0.5))
    for index, system in enumerate(systems):
        for place, category in enumerate(categories):
            value: Interval = next(
                getattr(one, name) for one in figures if (one.system, one.category) == (system, category)
            )
            if math.isnan(value.estimate):
                continue
            y = place + (index - (len(systems) - 1) / 2) * 0.8 / len(systems)
            label = system if place == 0 else None
            axes.plot([value.low, value.high], [y, y], color=COLOURS[index % len(COLOURS)])
            axes.plot(value.estimate, y, "o", color=COLOURS[index % len(COLOURS)], markersize=4, label=label)
    axes.set_yticks(range(len(categories)), categories, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(title, fontsize=8)
    if name == "atoms":
        axes.set_xlim(0, 1)
    finish(axes)
    return save_figure(figure, path)[0]


def _sheet(result: Benchmark, category: str, folder: Path, path: Path, shown: int) -> Path:
    prompts = [prompt for prompt in result.prompts.prompts if prompt.category == category][:shown]
    samples = sorted({row.sample for row in result.rows})[:_SAMPLES]
    columns = [(system, sample) for system in result.systems for sample in samples]
    files = {(row.system, row.sample, row.prompt): row.image for row in result.rows}

    def image(row: int, column: int) -> Image.Image | None:
        name = files.get((*columns[column], prompts[row].id))
        return None if name is None else open_image(file_inside(folder, name, name))

    names = [textwrap.fill(textwrap.shorten(prompt.text, 100), 34) for prompt in prompts]
    heads = [system if len(samples) == 1 else f"{system}, {sample}" for system, sample in columns]
    return save_figure(picture_grid(names, heads, image), path)[0]


def _cell(value: Interval, share: bool = True) -> str:
    if math.isnan(value.estimate):
        return "-"
    show = (lambda number: f"{number:.1%}") if share else (lambda number: f"{number:.3f}")
    return f"{show(value.estimate)} ({show(value.low)} to {show(value.high)})"
