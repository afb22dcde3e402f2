"""ip2p tradeoff on a tiny checkpoint, with and without baselines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = [
    "data=world_tiny", "device=cpu", "steps=1", "metrics=strength", "x=true_change", "y=strength", "count=3",
    "text_scales=[1,2]", "image_scales=[1,1.5]", "intervals.resamples=50",
]  # fmt: skip


def test_writes_curves_values_and_a_figure(checkpoint: Callable[[str], Path], ip2p: Callable[..., str]) -> None:
    printed = ip2p("tradeoff", f"checkpoint={checkpoint('ip2p/tiny')}", "output=out", *SMALL)
    assert {path.name for path in Path("out").iterdir()} == {
        "rows.parquet", "points.csv", "summary.json", "tradeoff.svg", "tradeoff.png", "report.html"
    }  # fmt: skip
    summary = json.loads(Path("out/summary.json").read_text())
    assert [curve["name"] for curve in summary["curves"]] == ["ours, s_T = 1", "ours, s_T = 2", "copying", "truth"]
    assert summary["curves"][3]["x"][0]["estimate"] == pytest.approx(1.0)
    assert len(Path("out/points.csv").read_text().splitlines()) == 1 + 2 * 2 + 2
    assert "strength against true_change, 3 pairs" in printed
    assert "y=strength: more of it is not better" in printed


@pytest.mark.slow
def test_two_processes_write_the_values_of_one(checkpoint: Callable[[str], Path], ip2p: Callable[..., str]) -> None:
    words = [f"checkpoint={checkpoint('ip2p/tiny')}", *SMALL, "batch_size=1", "show=1"]
    ip2p("tradeoff", *words, "output=one")
    ip2p("tradeoff", *words, "output=two", "devices=2")
    assert Path("one/points.csv").read_bytes() == Path("two/points.csv").read_bytes()
    assert {path.name for path in Path("two").iterdir()} - {path.name for path in Path("one").iterdir()} == {
        "rank-1.log"
    }
    ip2p("tradeoff", *words, "output=one", "executor=array")  # a task of a job array that comes when all is done
    assert Path("one/points.csv").read_bytes() == Path("two/points.csv").read_bytes()
    names = [path.name for path in sorted(Path("two/pictures").iterdir())]
    assert names == [f"000-{part}.png" for part in ("00", "01", "02", "03", "04", "05", "original", "truth")]


def test_refuses_what_it_cannot_draw(checkpoint: Callable[[str], Path], ip2p: Callable[..., str]) -> None:
    path = checkpoint("ip2p/tiny")
    assert "the axis 'lpips' is no metric" in ip2p("tradeoff", f"checkpoint={path}", *SMALL, "y=lpips", fails=True)
    assert "split=holiday must be one of train, validation, test" in ip2p(
        "tradeoff", f"checkpoint={path}", *SMALL, "split=holiday", fails=True
    )
