"""Counts that are known only after edits are made and measured.

It is kept with each row, so that an evaluation that was stopped, or shared by several processes, counts all of them. It
must not stand among the facts that a journal compares, which are those before the work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ip2p_lightning.editors.base import Editor, Remarks
from ip2p_lightning.metrics import EditMetric

REASONS, REMARKS = "reasons", "remarks"
"""Keys of a row, besides its columns."""


def reasons_of(metrics: Mapping[str, EditMetric], index: int) -> dict[str, str]:
    """Column -> why the image at a place of the batch that was measured last has no value, where that is known."""
    found = {name: metric.reasons[index] for name, metric in metrics.items() if metric.counted}
    return {name: reason for name, reason in found.items() if reason}


def remarks_of(editor: Editor, ids: Sequence[str]) -> list[dict[str, bool]]:
    """An editor's remarks on each edit that it just made; empty for most editors."""
    return editor.remarks(ids) if isinstance(editor, Remarks) else [{} for _ in ids]


def with_counts(
    facts: Mapping[str, Any], metrics: Mapping[str, EditMetric], rows: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Provenance with the counts of all rows: why metrics have no value, and what the editor remarked.

    Args:
        facts: provenance without, whose "metrics" has an entry for each column.
        metrics: column name -> metric.
        rows: of all processes.
    """
    reasons: dict[str, Counter[str]] = {name: Counter() for name, metric in metrics.items() if metric.counted}
    remarks: Counter[str] = Counter()
    for row in rows:
        for name, reason in row.get(REASONS, {}).items():
            reasons[name].update([reason] if isinstance(reason, str) else reason)
        remarks.update({name: int(true) for name, true in row.get(REMARKS, {}).items()})
    counted = {name: {metrics[name].counted: dict(found)} for name, found in reasons.items()}
    told = {name: own | counted.get(name, {}) for name, own in facts["metrics"].items()}
    return {**facts, **remarks, "metrics": told}
