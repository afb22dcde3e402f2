"""Going on from a checkpoint through the configuration: bit for bit, over stages, from the newest whole file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from ip2p_lightning import precision
from ip2p_lightning.config import compose
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.jobs.resuming import find_checkpoint
from ip2p_lightning.jobs.train import Trained, train

QUICK = ["~callbacks.pictures", "~callbacks.summary", "callbacks.progress.line_interval=1000"]
STAGE = (
    "{_target_:ip2p_lightning.methods.stage.Stage,name:%s,max_steps:%d,loss_weights:{%s:1.0},trainable:{%s:{lr:1e-3}}}"
)
TWO_STAGES = (
    f"stages=[{STAGE % ('language', 3, 'instruction_loss', 'conditioner.*')},"
    f"{STAGE % ('joint', 2, 'editing_loss', 'denoiser.*')}]"
)
EACH = ["callbacks.checkpoint.every_n_train_steps=1", "callbacks.checkpoint.save_top_k=-1"]


@pytest.fixture
def composed(tmp_path: Path) -> Callable[..., DictConfig]:
    """`composed("seed=1", experiment="ip2p/tiny", name="a")` is a run in a folder of that name."""

    def make(*overrides: str, experiment: str = "ip2p/tiny", name: str = "run") -> DictConfig:
        return compose("train", [f"experiment={experiment}", f"output_dir={tmp_path / name}", *QUICK, *overrides])

    return make


def same(a: Trained, b: Trained) -> bool:
    ours, theirs = (trained.module.state_dict() for trained in (a, b))
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_goes_on_bit_for_bit(composed, tmp_path):
    """With EMA, gradient clipping, conditioning dropout, 8 steps in epochs of 3."""
    steps = [*EACH, "data.train.count=12", "+stages.0.warmup=2", "+stages.0.decay=linear"]
    whole = train(composed(*steps, name="whole"))
    for place in (1, 3, 5):
        ckpt = tmp_path / f"whole/checkpoints/step-{place}.ckpt"
        assert same(train(composed(*steps, f"ckpt={ckpt}", name=f"from-{place}")), whole)
    stored = [torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("whole", "from-3")]
    raw, again = (checkpoint["raw_parameters"] for checkpoint in stored)
    assert all(torch.equal(raw[name], again[name]) for name in raw)


def test_a_run_on_pairs_of_any_shape_from_near_shards_goes_on_bit_for_bit(composed, tmp_path):
    with ShardWriter(tmp_path / "data", max_shard_bytes=20_000) as writer:
        for number in range(24):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 40, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels if number % 3 else pixels.swapaxes(0, 1).copy())
            writer.add(EditPair(str(number), picture, picture, "turn it"), "train" if number < 22 else "validation")
    shapes = [
        "data=buckets",
        f"data.path={tmp_path}/data",
        "data.transform.shapes=[[32,16],[16,32]]",
        "data.transform.resolution=16",
    ]
    near = ["data.order._target_=ip2p_lightning.data.order.Nearby", "+data.order.window=8", "data.batch_size=4"]
    steps = [*EACH, *shapes, *near, "data.workers=0", "trainer.max_steps=8"]
    whole = train(composed(*steps, name="whole"))
    ckpt = tmp_path / "whole/checkpoints/step-6.ckpt"  # in the second epoch of five steps
    assert same(train(composed(*steps, f"ckpt={ckpt}", name="rest")), whole)


def test_a_run_goes_on_in_its_stage_bit_for_bit(composed, tmp_path):
    """Step 3 ends the first stage: the second begins with an optimizer of its own, and a new epoch."""
    run = {"experiment": "mgie/tiny"}
    whole = train(composed(TWO_STAGES, *EACH, **run, name="whole"))
    for place in (2, 3, 4):
        ckpt = f"ckpt={tmp_path}/whole/checkpoints/step-{place}.ckpt"
        rest = train(composed(TWO_STAGES, ckpt, **run, name=f"from-{place}"))
        assert rest.trainer.global_step == 5
        assert rest.trainer.current_epoch == whole.trainer.current_epoch
        assert same(rest, whole)
    stored = torch.load(tmp_path / "from-3/checkpoints/last.ckpt", weights_only=True)
    assert (stored["stage"], stored["global_step"]) == ("joint", 5)


@pytest.mark.parametrize("recorded", ["bf16-mixed", "32-true"])
def test_a_run_goes_on_in_its_arithmetic_on_any_machine(composed, tmp_path, monkeypatch, recorded):
    """What was the fastest where it began is not where it goes on; a checkpoint of older code does not name it."""
    steps = [*EACH, "trainer.precision=auto"]
    monkeypatch.setattr(precision, "fastest", lambda device: recorded)
    whole = train(composed(*steps, name="whole"))
    assert OmegaConf.load(tmp_path / "whole/config.yaml").trainer.precision == recorded
    other = {"bf16-mixed": "32-true", "32-true": "bf16-mixed"}[recorded]
    monkeypatch.setattr(precision, "fastest", lambda device: other)
    ckpt = tmp_path / "whole/checkpoints/step-4.ckpt"
    assert same(train(composed(*steps, f"ckpt={ckpt}", name="on")), whole)
    stored = torch.load(ckpt, weights_only=True)
    assert stored.pop("precision") == recorded
    torch.save(stored, ckpt)
    assert same(train(composed(*steps, f"ckpt={ckpt}", name="on-again")), whole)


def test_a_finished_run_says_so(composed, tmp_path, caplog):
    done = train(composed("trainer.max_steps=2"))
    ckpt = f"ckpt={tmp_path}/run/checkpoints/last.ckpt"
    with caplog.at_level(logging.WARNING):
        again = train(composed("trainer.max_steps=2", ckpt, name="again"))
    assert again.trainer.global_step == 2
    assert same(done, again)
    assert "nothing was left to do" in caplog.text
    assert "had come to its end at step 2; to go on, give it more steps: stages.0.max_steps=..." in caplog.text


def test_auto_takes_this_run_or_else_the_newest_beside_it(tmp_path):
    def put(name: str, age: float) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": {"weight": torch.ones(300)}}, path)
        os.utime(path, (age, age))
        return path

    assert find_checkpoint("auto", tmp_path / "now") is None
    put("old/checkpoints/last.ckpt", 100)
    newest = put("new/checkpoints/last.ckpt", 200)
    put("new/checkpoints/step-3.ckpt", 200)
    assert find_checkpoint("auto", tmp_path / "now") == newest
    assert find_checkpoint("auto", tmp_path / "now", beside=False) is None
    own = put("now/checkpoints/step-1.ckpt", 50)
    assert find_checkpoint("auto", tmp_path / "now") == find_checkpoint("auto", tmp_path / "now", beside=False) == own
    assert find_checkpoint(None, tmp_path) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "zeroed", "flipped"])
def test_auto_leaves_damaged_checkpoints_out(tmp_path, caplog, damage):
    folder = tmp_path / "run/checkpoints"
    folder.mkdir(parents=True)
    for age, name in enumerate(("step-1.ckpt", "last.ckpt"), 1):
        torch.save({"state_dict": {"weight": torch.ones(5000)}}, folder / name)
        os.utime(folder / name, (age, age))
    content = bytearray((folder / "last.ckpt").read_bytes())
    middle = len(content) // 2
    if damage == "empty":
        content = bytearray()
    elif damage == "cut":
        content = content[:middle]
    elif damage == "zeroed":
        content[middle : middle + 4096] = bytes(4096)
    else:
        content[middle] ^= 1
    (folder / "last.ckpt").write_bytes(content)
    assert find_checkpoint("auto", tmp_path / "now") == folder / "step-1.ckpt"
    assert "last.ckpt is left out, it is damaged" in caplog.text


def test_a_checkpoint_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ckpt=nowhere\.ckpt is no file"):
        find_checkpoint("nowhere.ckpt", tmp_path)


def test_a_checkpoint_of_another_architecture(composed, tmp_path):
    train(composed("trainer.max_steps=1"))
    ckpt = f"ckpt={tmp_path}/run/checkpoints/last.ckpt"
    with pytest.raises(ValueError, match=r"another denoiser; these differ: denoiser\.network\.widths"):
        train(composed("denoiser.network.widths=[16,64]", ckpt, name="b"))
    with pytest.raises(ValueError, match=r"these differ: denoiser\.network\.norm_groups \(\d+ there, absent here\)"):
        train(composed("~denoiser.network.norm_groups", ckpt, name="c"))
    stored = torch.load(ckpt.removeprefix("ckpt="), weights_only=True)
    del stored["config"]["denoiser"]["lora"]
    torch.save(stored, tmp_path / "older.ckpt")
    with pytest.raises(ValueError, match=r"these differ: denoiser\.lora \(absent there, null here\)"):
        train(composed(f"ckpt={tmp_path}/older.ckpt", name="d"))


def test_other_pairs_than_the_checkpoint_saw(composed, tmp_path):
    train(composed("trainer.max_steps=1"))
    with pytest.raises(ValueError, match="was trained on other pairs, so that its place in the epoch means nothing"):
        train(composed(f"ckpt={tmp_path}/run/checkpoints/last.ckpt", "data.train.count=16", name="b"))
