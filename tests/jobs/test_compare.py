"""Sweeps end with a table and every failed job; several models share a table and a figure; axes fit the pairs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.models import models_of

QUICK = ["experiment=ip2p/tiny", "trainer.max_steps=2", "~callbacks.pictures", "~callbacks.summary", "threads=1"]
SMALL = ["data.train.source.count=32", "data.batch_size=8", "data.eval_batch_size=8"]


@pytest.mark.slow
def test_a_sweep_ends_with_its_table_and_every_failed_job(ip2p, tmp_path: Path):
    sweep = f"hydra.sweep.dir={tmp_path}/sweep"
    message = ip2p("train", "-m", *QUICK, "dropout.text=0.0,0.1", "data.batch_size=8,100000", sweep, fails=True)
    assert "ip2p train: 2 of 4 jobs failed:\n" in message
    lines = message.split("jobs failed:\n")[1].splitlines()
    assert [line.split(":")[0].strip() for line in lines[:2]] == ["1", "3"]
    assert "batch" in lines[0]
    assert "batch" in lines[1]
    with (tmp_path / "sweep" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["dropout.text"], row["data.batch_size"]) for row in rows] == [
        ("0.0", "8"), ("0.0", "100000"), ("0.1", "8"), ("0.1", "100000"),
    ]  # fmt: skip
    assert [bool(row["problem"]) for row in rows] == [False, True, False, True]
    assert float(rows[0]["train/loss"]) > 0
    assert (tmp_path / "sweep" / "comparison.html").is_file()
    printed = ip2p("compare", f"runs={tmp_path}/sweep", "output=again")
    assert "4 runs compared" in printed
    assert (tmp_path / "again" / "comparison.csv").read_text() == (tmp_path / "sweep" / "comparison.csv").read_text()


def test_a_sweep_is_a_group_of_wandb(tmp_path: Path):
    logger = compose("train", ["experiment=ip2p/tiny", "logger=wandb"]).logger
    assert logger.wandb.group is None  # a run of its own


@pytest.mark.slow
def test_several_models_share_a_table(ip2p, checkpoint, tmp_path: Path):
    models = f"checkpoint=[{checkpoint('ip2p/tiny')},instruct_pix2pix]"
    printed = ip2p("evaluate", models, "data=world", "count=4", "show=0", "worst=0", "kinds=0", "output=both")
    assert "2 runs compared" in printed
    with (tmp_path / "both" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["last.ckpt", "instruct_pix2pix"]
    assert float(rows[1]["error"]) < float(rows[0]["error"])
    assert json.loads((tmp_path / "both" / "instruct_pix2pix" / "summary.json").read_text())["pairs"] == 4


@pytest.mark.slow
def test_curves_of_several_models_with_axes_that_can_be_had(ip2p, checkpoint, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tiny = checkpoint("ip2p/tiny")
    ip2p("data", "render", "source=photos", "source.count=12", "output=plain", "splits={test: 1.0}")
    plain = ["data=shards", "data.path=plain", "data.transform.resolution=32", "count=4", "baselines=[copying]"]
    scales = ["text_scales=[1]", "image_scales=[1,1.5]"]
    printed = ip2p("tradeoff", f"checkpoint=[{tiny},instruct_pix2pix]", *plain, *scales, "output=curve")
    assert "metrics=strength (CLIP's weights cannot be had), x=true_change, y=kept" in printed
    summary = json.loads((tmp_path / "curve" / "summary.json").read_text())
    assert {curve["name"].split(",")[0] for curve in summary["curves"]} >= {"last.ckpt", "instruct_pix2pix"}


def test_names_of_models():
    assert models_of("runs/a/last.ckpt") == {"ours": "runs/a/last.ckpt"}
    assert models_of(OmegaConf.create(["runs/a/last.ckpt", "runs/b/last.ckpt"])) == {
        "a": "runs/a/last.ckpt",
        "b": "runs/b/last.ckpt",
    }
    for wrong in ([], ["a", "a"]):
        with pytest.raises(ValueError, match="give at least one, and none of them twice"):
            models_of(wrong)
