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
ERRORS = ("error", "changed", "kept", "copy_rate")
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


def test_figure_10_has_the_paper_s_axes_where_its_models_were_swept() -> None:
    one = study("ip2p_figure10")
    for swept in (False, True):
        rows = []
        scales = [{"image_scale": scale} for scale in (1.0, 1.6, 2.2)] if swept else [{}]
        for seed, pairs, filtered, point in product(range(2), (0.1, 1.0), (True, False), scales):
            labels = {"pairs": pairs, "filtered": filtered, "seed": seed, **point}
            rank = pairs + filtered + 0.1 * seed
            found = {"clip_input": rank, "clip_direction": rank} if swept else dict.fromkeys(ERRORS, 1 / rank)
            rows.append(Row(str(labels), labels, {name: Value(value) for name, value in found.items()}))
        table = Table(rows)
        assert len(one.draw(table)["figure"].axes) == (1 if swept else len(ERRORS))
        claims = one.claims(table)
        assert len(claims) == (2 if swept else 4)
        assert {claim.verdict for claim in claims} == {"confirmed"}


def test_published_figures_stand_beside_claims_about_their_own_metric() -> None:
    claims = study("mgie_zero_shot").claims(results("mgie_zero_shot", "error", "ssim", "dino"))
    beside = [claim for claim in claims if "the paper:" in claim.text]
    assert [claim.text.split(":")[0] for claim in beside] == ["objects (EVR)", "mixed (MagicBrush)"]
    assert all("by DINO" in claim.text and claim.evidence.startswith("dino") for claim in beside)
    assert "67.82 / 69.71 / 71.49" in beside[0].text
