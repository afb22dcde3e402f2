"""The embedded world from captions to kept pairs: what the filter keeps is right, by the truth and by the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.config import compose
from ip2p_lightning.generation.separation import separation, separation_sheet
from ip2p_lightning.jobs.generate import generate
from ip2p_lightning.zoo import load, path


@pytest.mark.slow
def test_the_filter_tells_right_pairs_from_wrong_ones(tmp_path: Path):
    for name in ("judge", "dual_encoder"):
        try:
            path(name)
        except FileNotFoundError as error:
            pytest.skip(str(error))
    dataset = generate(compose("generate", ["experiment=generate/rendered", "count=12", f"output_dir={tmp_path}"]))
    groups = {row.name: row for row in separation(dataset, load("judge"))}
    kept, left_out = groups["kept"], groups["left out"]
    assert sum(row.pairs for row in groups.values()) == 12 * 8
    assert kept.right.low > 0.7 > 0.3 > left_out.right.high  # as sure as twelve captions can make it
    assert kept.whole.low > 0.6 > 0.3 > left_out.whole.high
    assert kept.changed.low > left_out.changed.high + 0.2
    assert kept.kept.estimate > left_out.kept.estimate
    assert abs(kept.original.estimate - left_out.original.estimate) < 0.05, (
        "the originals are alike, whatever was done to the edits"
    )
    assert separation_sheet(dataset, "left out", count=4, side=32).width > 4 * 32
