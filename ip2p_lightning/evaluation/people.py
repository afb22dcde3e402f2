"""People's choices in a study: shares by category, strengths of all systems, and agreement, for each question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ip2p_lightning.evaluation.calibration import Choice
from ip2p_lightning.evaluation.preference import Preference, preference
from ip2p_lightning.evaluation.preference_answers import Answers
from ip2p_lightning.evaluation.strengths import Strengths, agreement, strengths
from ip2p_lightning.metrics.bootstrap import Interval

ALL = "all"


@dataclass(frozen=True)
class People:
    """The choices about one question.

    Args:
        question: its key.
        shares: category -> shares between every two systems; `ALL` first.
        strengths: of all systems on one scale.
        agreement: Krippendorff's alpha.
        choices: how many there are.
        raters: who made them.
    """

    question: str
    shares: dict[str, list[Preference]]
    strengths: Strengths
    agreement: Interval
    choices: int
    raters: int


def people(answers: Answers, *, resamples: int = 2000, confidence: float = 0.95) -> list[People]:
    """Count a study's answers, question by question; questions without answers are left out.

    Args:
        answers: of a server or of raters' pages.
        resamples: of the bootstraps over pairs.
        confidence: share of the resamples inside the intervals.
    """
    options = {"resamples": resamples, "confidence": confidence}
    return [_counted(question, rows, options) for question, rows in answers.choices.items() if rows]


def _counted(question: str, rows: Sequence[tuple[Choice, str]], options: dict) -> People:
    choices = [choice for choice, _ in rows]
    categories = [ALL, *sorted({category for _, category in rows if category})]
    systems = sorted({name for choice in choices for name in (choice.first, choice.second)})
    shares: dict[str, list[Preference]] = {}
    for category in categories:
        of_it = [choice for choice, own in rows if category in (ALL, own)]
        pairs = ([one for one in of_it if {one.first, one.second} == {*pair}] for pair in combinations(systems, 2))
        shares[category] = [preference(chosen, **options) for chosen in pairs if chosen]
    return People(
        question,
        shares,
        strengths(choices, **options),
        agreement(choices, **options),
        len(choices),
        len({choice.rater for choice in choices}),
    )
