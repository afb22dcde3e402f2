"""Failure statements derived from confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ip2p_lightning.evaluation.amounts import Amount, amounts
from ip2p_lightning.evaluation.figures import ERROR, TEXT_EXACT, Figure
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.formatting import percent, plural, span
from ip2p_lightning.metrics.bootstrap import FEWEST_GROUPS

CHANGED, KEPT, COPIED = "changed", "kept", "copy_rate"
"""Column names that the sentences below know besides the error; a set without one of them has fewer sentences."""


@dataclass(frozen=True)
class Limit:
    """One thing that does not work.

    Args:
        where: set and kinds it holds for.
        what: the sentence, with its figures.
        serious: worse than doing nothing, or undecided.
    """

    where: str
    what: str
    serious: bool = True


def limits(result: EvaluationResult) -> list[Limit]:
    """Everything the figures of an evaluation admit, the worst first."""
    found: list[Limit] = []
    for kind, figures in result.kinds.items():
        found += _kind_limits(kind, figures)
    told = {limit.where for limit in found}
    found += [_amount_limit(amount) for amount in amounts(result)[:-1] if amount.verdict and amount.kind not in told]
    found.sort(key=lambda limit: not limit.serious)
    scarce = [kind for kind, figures in result.kinds.items() if _scarce(figures)]
    if scarce:
        names = ", ".join(kind.replace("_", " ") for kind in scarce)
        text = f"Fewer than {FEWEST_GROUPS} pairs each cannot show whether these beat leaving the image alone"
        found.append(Limit("not known", f"{text}: {names}.", serious=False))
    copied = result.figures.get(COPIED)
    if copied is not None and copied.ours.estimate >= 0.05:
        share = f"{percent(copied.ours.estimate)} of the images ({span(copied.ours, 'share')})"
        found.append(Limit("not edited", f"{share} are left as they were or nearly so.", serious=False))
    text = result.figures.get(TEXT_EXACT)
    if text is not None and text.ours.estimate < 1:
        share = f"{percent(text.ours.estimate)} of its expressive instructions ({span(text.ours, 'share')})"
        found.append(Limit("its own words", f"It gets {share} right to the word.", serious=False))
    return found


def _kind_limits(kind: str, figures: Mapping[str, Figure]) -> list[Limit]:
    error = figures.get(ERROR)
    if error is None or error.copying is None or error.verdict not in ("worse", "undecided") or _scarce(figures):
        return []
    if error.verdict == "worse":
        text = "Further from the truth than leaving the image alone"
    else:
        text = f"No better than leaving the image alone, as far as {plural(error.ours.groups, 'pair')} can tell"
    text += f": error {error.ours.estimate:.1f} of 255, copying {error.copying.estimate:.1f}"
    changed, kept = figures.get(CHANGED), figures.get(KEPT)
    if changed is not None and changed.verdict == "better" and changed.copying is not None:
        text += (
            f". The right place does come nearer ({changed.ours.estimate:.1f} instead of "
            f"{changed.copying.estimate:.1f} there)"
        )
        if kept is not None:
            text += f", but {kept.ours.estimate:.1f} of 255 is lost where nothing should change"
    return [Limit(kind, text + ".", serious=error.verdict == "worse")]


def _amount_limit(amount: Amount) -> Limit:
    how = "Stops short" if amount.verdict == "little" else "Overdoes it"
    text = f"{how}: half of its edits make less than {amount.middle.estimate:.2f} of the true change"
    if amount.verdict == "much":
        text = f"{how}: half of its edits make more than {amount.middle.estimate:.2f} times the true change"
    return Limit(amount.kind, f"{text} ({span(amount.middle)}).", serious=False)


def _scarce(figures: Mapping[str, Figure]) -> bool:
    return ERROR in figures and figures[ERROR].ours.groups < FEWEST_GROUPS
