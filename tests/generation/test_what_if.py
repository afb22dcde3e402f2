"""What other thresholds would keep, as told from stored scores, is what the filter would keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generation.stages_factory import make, merged, triples

from ip2p_lightning.generation import what_if
from ip2p_lightning.generation.duplicates import HashedDuplicates
from ip2p_lightning.generation.filter import DUPLICATE, KEPT, PairFilter, Thresholds
from ip2p_lightning.generation.filtering import reasons
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.pairs import pair_id, recorded, scores_of
from ip2p_lightning.generation.run_card import CARD
from ip2p_lightning.generation.what_if import WhatIf

FINDER = HashedDuplicates(0.03)
THRESHOLDS = {"image": 0.7, "direction": 0.2, "text": 0.2}


def made(folder: Path, stored: float) -> Ledger:
    """Drawn pairs, right ones of a triple all alike, with what the card tells of the filter."""
    ledger = make(folder, triples(5), stored=stored, keep=3, duplicates=FINDER)
    merged(folder, ledger)
    finder = {"_target_": "ip2p_lightning.generation.duplicates.HashedDuplicates", "distance": 0.03}
    told = {"filter": {"thresholds": THRESHOLDS, "keep": 3, "duplicates": finder}}
    (folder / "dataset" / CARD).write_text(json.dumps(told))
    return ledger


def kept(ledger: Ledger, **least: float) -> set[str]:
    """What the stage would keep."""
    rule = PairFilter(Thresholds(**(THRESHOLDS | least)), keep=3, duplicates=FINDER)
    return {
        pair_id(entry.id, number)
        for entry in recorded(ledger)
        for number, reason in enumerate(reasons(entry, rule))
        if reason == KEPT
    }


@pytest.mark.parametrize("stored", [1.0, 0.6, 0.0])
def test_twins_and_pairs_without_pictures_are_as_the_filter_has_them(stored: float, tmp_path: Path):
    ledger = made(tmp_path, stored)
    rows = [row for entry in recorded(ledger) for row in entry.rows]
    assert sum(row["reason"] == DUPLICATE for row in rows) > 3
    assert (not all(row["stored"] for row in rows)) == (stored < 1)
    asked = WhatIf(tmp_path / "dataset")
    best = sorted(score.direction for row in rows if (score := scores_of(row)) and row["reason"] == KEPT)
    for direction in (-1.0, 0.05, 0.2, best[0] + 1e-9, best[-1], 0.9):
        keeps = asked.keeps({**asked.thresholds, "clip_direction": direction})
        assert set(asked.ids[keeps]) == kept(ledger, direction=direction)


def test_a_twin_comes_in_where_the_better_one_falls_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ledger = made(tmp_path, 1.0)
    asked = WhatIf(tmp_path / "dataset")
    before = set(asked.ids[asked.keeps(asked.thresholds)])
    assert before == kept(ledger)
    for row in np.flatnonzero(np.isin(asked.ids, list(before))):  # as a higher threshold of another score does
        asked.scores["clip_image"][row] = 0.1
    after = set(asked.ids[asked.keeps(asked.thresholds)])
    verdicts = _verdicts(asked)
    assert after
    assert {verdicts[id] for id in after} == {DUPLICATE}
    monkeypatch.setattr(what_if, "MOST_COMPARED", 1)
    assert not asked.keeps(asked.thresholds).any(), "too many to compare: twins stay out"


def _verdicts(asked: WhatIf) -> dict[str, Any]:
    table = what_if.pq.read_table(asked.path / "candidates.parquet")
    return dict(zip(table.column("pair").to_pylist(), table.column("reason").to_pylist(), strict=True))
