"""A benchmark's figures: CLIP score and judged atoms by system and category, with what the judge could not read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ip2p_lightning.evaluation.prompts.run import Benchmark, Row
from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval

ALL = "all"


@dataclass(frozen=True)
class CategoryFigures:
    """One system in one category; intervals are over prompts.

    Args:
        system: its name.
        category: `ALL` for all.
        images: how many.
        clip: mean cosine of images and prompts; without values where no encoder was given.
        atoms: share of the answered questions that are right.
        whole: share of the images whose questions are all answered and right, among those of which all are answered.
        asked: questions in all.
        failures: why questions have no answer -> how many; they are in none of the shares.
    """

    system: str
    category: str
    images: int
    clip: Interval
    atoms: Interval
    whole: Interval
    asked: int
    failures: Counter[str]


def category_figures(result: Benchmark, *, resamples: int = 2000, confidence: float = 0.95) -> list[CategoryFigures]:
    """Figures of each system over all prompts and over each category's."""
    category = {prompt.id: prompt.category for prompt in result.prompts.prompts}
    names = [ALL, *(name for name in result.prompts.categories if name and len(result.prompts.categories) > 1)]
    options = {"resamples": resamples, "confidence": confidence}
    figures = []
    for system in result.systems:
        rows = [row for row in result.rows if row.system == system]
        for name in names:
            figures.append(_figures(system, name, [r for r in rows if name in (ALL, category[r.prompt])], options))
    return figures


def _figures(system: str, category: str, rows: list[Row], options: dict) -> CategoryFigures:
    answered = [(row, [one for one in row.replies if one.right is not None]) for row in rows]
    atoms = [(float(bool(one.right)), row.prompt) for row, known in answered for one in known]
    whole = [
        (float(all(one.right for one in known)), row.prompt)
        for row, known in answered
        if known and len(known) == len(row.replies)
    ]
    return CategoryFigures(
        system,
        category,
        len(rows),
        bootstrap_interval([row.clip for row in rows], [row.prompt for row in rows], **options),
        bootstrap_interval([value for value, _ in atoms], [id for _, id in atoms], share=True, **options),
        bootstrap_interval([value for value, _ in whole], [id for _, id in whole], share=True, **options),
        sum(len(row.replies) for row in rows),
        Counter(one.said for row in rows for one in row.replies if one.right is None),
    )
