"""Other systems are scored from files, judged by a model behind a server, and the judge is compared with people."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ip2p_lightning.data.images import to_pil, to_tensor
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import render_dataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources.world import WorldSource
from tests.metrics.judges.judge_server import judge_server


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Eight test pairs, and two systems: one goes most of the way to the truth and fails once, one a little."""
    render_dataset({"test": WorldSource(8, size=32, split="test")}, tmp_path / "pairs")
    pairs = ShardDataset(tmp_path / "pairs", Selection("test"))
    for name, share, count in (("good", 0.9, 7), ("poor", 0.2, 8)):
        rows = []
        (tmp_path / name).mkdir()
        for index in range(count):
            pair = pairs[index]
            before, after = to_tensor(pair.original_image), to_tensor(pair.edited_image)  # type: ignore[arg-type]
            to_pil(before + share * (after - before)).save(tmp_path / name / f"{index}.png")
            rows.append({"id": pair.id, "output": f"{index}.png", "instruction": pair.instruction})
        (tmp_path / name / "outputs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_outputs_are_scored_judged_and_calibrated(ip2p, files):
    common = ["data=shards", "data.path=pairs", "data.transform.resolution=32"]
    with judge_server() as (url, requests):
        for name in ("good", "poor"):
            words = [
                "evaluate",
                "editor=outputs",
                f"editor.path={name}/outputs.jsonl",
                *common,
                f"output={name}_scores",
            ]
            words += ["metrics=vlm", f"metrics.shared.judge.answerer.url={url}", "metrics.shared.judge.cache=verdicts"]
            if name == "good":
                assert "1 of 8 pairs have no output in good/outputs.jsonl" in ip2p(*words, fails=True)
            ip2p(*words, "editor.missing=gap")
        assert requests
    good, poor = (pq.read_table(files / f"{name}_scores/rows.parquet") for name in ("good", "poor"))
    assert (good.num_rows, poor.num_rows) == (7, 8)
    error = {name: sum(table.column("error").to_pylist()) / len(table) for name, table in (("g", good), ("p", poor))}
    assert error["g"] < 0.5 * error["p"]
    summary = json.loads((files / "good_scores/summary.json").read_text())
    assert "1 of 8 without an output" in json.dumps(summary)
    assert "m" in json.dumps(summary)
    choices = [(pair, "good", "poor", "good") for pair in poor.column("pair").to_pylist()]
    with (files / "choices.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("pair", "first", "second", "choice"), *choices])
    words = ["calibrate", "choices=choices.csv", "marks={good: good_scores, poor: poor_scores}", "metric=error"]
    printed = ip2p(*words, "higher_is_better=false", "output=calibration.json")
    assert "error makes 100%" in printed
    assert "1 choices are left out" in printed
    assert json.loads((files / "calibration.json").read_text())["agreement"]["estimate"] == 1.0
    assert "was not evaluated by 'beauty'; it has" in ip2p(*words[:-1], "metric=beauty", fails=True)


def test_people_choose_on_a_blind_page(ip2p, files):
    common = ["systems={good: good/outputs.jsonl, poor: poor/outputs.jsonl}", "data=shards", "data.path=pairs"]
    common += ["data.transform.resolution=32", "output=study"]
    assert "but 7 of 8 pairs have both" in ip2p("preference", "make", *common, "count=8", fails=True)
    assert "study/page.html: give this page to people" in ip2p("preference", "make", *common, "count=7")
    assert not (files / "study/key.json").exists()  # who gets the folder gets no key
    assert "there is a study already" in ip2p("preference", "make", *common, "count=7", fails=True)
    key = json.loads((files / "study-key/key.json").read_text())["items"]
    lines = [
        f"{number},follows,{'left' if item['left'] == 'good' else 'right'},anna" for number, item in enumerate(key)
    ]
    (files / "anna.csv").write_text("\n".join(["item,question,answer,rater", *lines]))
    printed = ip2p("preference", "read", "output=study", "answers=[anna.csv]")
    assert "100%" in printed
    assert (files / "study/choices-follows.csv").is_file()
