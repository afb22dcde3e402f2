"""The papers' sets are rendered to the folders that studies of size paper measure on, and measured as these ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.config import compose
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.studies.recipes import PAPERS, evaluate
from ip2p_lightning.studies.study import Options
from ip2p_lightning.studies.tasks import TASKS


def photograph(path: Path, seed: int, size: tuple[int, int] = (24, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def gier(tmp_path: Path) -> Path:
    """Twenty photographs with two requests each; the result of the first has another size."""
    for number in range(20):
        photograph(tmp_path / f"GIER/images/{number}.jpg", number)
        photograph(tmp_path / f"GIER/images/{number}-done.jpg", 100 + number, (24, 16) if number else (30, 20))
    rows = [
        {"input": f"{n}.jpg", "output": f"{n}-done.jpg", "expert_summary": ["brighten it"], "amateur_summary": ["more"]}
        for n in range(20)
    ]
    (tmp_path / "GIER/GIER.json").write_text(json.dumps(rows))
    return tmp_path / "GIER"


def test_gier_is_rendered_and_measured(ip2p: Callable[..., str], gier: Path, tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):  # official splits are listings of their own
        words = ["source=gier", f"source.path={gier}", f"output=data/gier/{split}", f"splits={{{split}: 1.0}}"]
        assert "40 pairs" in ip2p("data", "render", *words)
    test = ShardDataset(tmp_path / "data/gier/test", Selection("test"))
    assert {test[place].instruction for place in range(len(test))} == {"brighten it", "more"}
    task = next(task for task in TASKS if task.like == "GIER")
    words = [*task.measured("paper"), "metrics=pixels", "editor=copy_input", "data.transform.resolution=16"]
    ip2p("evaluate", *words, "device=cpu", "intervals.resamples=20", "output=scores")
    assert json.loads((tmp_path / "scores/summary.json").read_text())["pairs"] == len(test)


@pytest.mark.parametrize("name", ["evr", "gier", "ma5k", "magicbrush"])
def test_rendering_takes_what_evaluating_in_place_takes(name: str) -> None:
    rendered = compose("data render", [f"source={name}", "source.path=x"]).source
    assert rendered == compose("evaluate", [f"data={name}", "data.test.path=x"]).data.test


def test_studies_of_size_paper_measure_what_the_papers_do() -> None:
    run = evaluate(Options(size="paper"), "evaluate/one", "x.ckpt", {"seed": 0}, *TASKS[0].measured("paper"))
    config = compose("evaluate", run.overrides)
    assert set(PAPERS) <= {name for name, metric in config.metrics.metrics.items() if metric}
    assert config.metrics.missing == "gap"
    assert all(metric.missing == "gap" for metric in config.metrics.metrics.values() if "missing" in (metric or {}))
