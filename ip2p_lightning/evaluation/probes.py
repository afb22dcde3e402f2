"""A benchmark probe by probe, as the page shows it: what was asked, what came of it, what can be reached."""

from __future__ import annotations

from dataclasses import dataclass

from ip2p_lightning.evaluation.figures import Figure
from ip2p_lightning.evaluation.limits import ERROR
from ip2p_lightning.evaluation.result import EvaluationResult

ASKED, NEARER = "edit_success", "closer_than_input"


@dataclass(frozen=True)
class Probe:
    """A set of a benchmark, or one of its probes.

    Args:
        name: of the set ("counting"), or of the probe within it ("more").
        within: whether it is a probe of the set above.
        pairs: how many there are.
        asked: share of edits in which all is read that was asked for; None if no judge measured it.
        error: mean error; None if it was not measured.
        nearer: share of edits nearer to the truth than the input is; None likewise.
    """

    name: str
    within: bool
    pairs: int
    asked: Figure | None
    error: Figure | None
    nearer: Figure | None


def probes(result: EvaluationResult) -> list[Probe]:
    """Sets and their probes in alphabetical order; empty for pairs that belong to none."""
    found = []
    for name, figures in result.probes.items():
        group, _, inner = name.partition(": ")
        pairs = max((figure.ours.groups for figure in figures.values()), default=0)
        parts = figures.get(ASKED), figures.get(ERROR), figures.get(NEARER)
        found.append(Probe(inner or group, bool(inner), pairs, *parts))
    return found
