"""MGIE's tables draw and claim the papers' metrics where these were measured, and nothing of them where not."""

from __future__ import annotations

import runpy
from itertools import product
from pathlib import Path

import pytest

from ip2p_lightning.evaluation.run_values import Value
from ip2p_lightning.studies import Study, Table
from ip2p_lightning.studies.table import Row

ROOT = Path(__file__).resolve().parents[2]
ARMS = {"mgie_zero_shot": ("ip2p", "lgie", "mgie"), "mgie_fine_tuned": ("ip2p", "mgie", "ip2p, tuned", "mgie, tuned")}


def study(name: str) -> Study:
    return runpy.run_path(str(ROOT / "experiments" / f"{name}.py"))["STUDY"]


def results(name: str, *metrics: str) -> Table:
    """Each arm is a tenth better than the one before by every metric, with three seeds that hardly differ."""
    rows = []
    for place, arm in enumerate(ARMS[name]):
        for seed, task in product(range(3), ("objects (EVR)", "mixed (MagicBrush)")):
            good, bad = 0.5 + 0.1 * place + 0.001 * seed, 0.5 - 0.1 * place - 0.001 * seed
            values = {metric: Value(bad if metric in ("error", "lpips") else good) for metric in metrics}
            rows.append(Row(f"{arm}-{seed}-{task}", {"model": arm, "task": task, "seed": seed}, values))
    return Table(rows)


@pytest.mark.parametrize("name", ARMS)
def test_columns_that_were_measured_are_drawn_and_claimed(name: str) -> None:
    one = study(name)
    plain, full = results(name, "error", "ssim"), results(name, "error", "ssim", "dino", "clip_i", "clip_t", "lpips")
    assert len(one.draw(full)["figure"].axes) > len(one.draw(plain)["figure"].axes)
    told = [claim for claim in one.claims(full) if claim.evidence.startswith("dino")]
    assert told
    assert {claim.verdict for claim in one.claims(full)} == {"confirmed"}
    assert not any(claim.evidence.startswith("dino") for claim in one.claims(plain))
    assert {"dino", "clip_i", "clip_t", "lpips"} <= set(one.metrics)


def test_figure_10_has_the_paper_s_axes_where_clip_was_there() -> None:
    one = study("ip2p_figure10")
    plain = ("error", "changed", "kept", "copied")
    for metrics in (plain, (*plain, "clip_input", "clip_direction")):
        rows = []
        for seed, pairs, filtered in product(range(2), (100, 500), (True, False)):
            labels = {"pairs": pairs, "filtered": filtered, "seed": seed}
            values = {name: Value((1 if name in plain else -1) / (pairs + filtered + seed)) for name in metrics}
            rows.append(Row(str(labels), labels, values))
        table = Table(rows)
        assert len(one.draw(table)["figure"].axes) == len(metrics)
        assert len(one.claims(table)) == len(metrics)
        assert {claim.verdict for claim in one.claims(table)} == {"confirmed"}


def test_published_figures_stand_beside_claims_about_their_own_metric() -> None:
    claims = study("mgie_zero_shot").claims(results("mgie_zero_shot", "error", "ssim", "dino"))
    beside = [claim for claim in claims if "the paper:" in claim.text]
    assert [claim.text.split(":")[0] for claim in beside] == ["objects (EVR)", "mixed (MagicBrush)"]
    assert all("by DINO" in claim.text and claim.evidence.startswith("dino") for claim in beside)
    assert "67.82 / 69.71 / 71.49" in beside[0].text
