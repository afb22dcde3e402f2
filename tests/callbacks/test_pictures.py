"""The picture grid: what it shows, where it goes, and that it does not disturb training."""

from __future__ import annotations

import json

import torch
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from ip2p_lightning.callbacks.pictures import Pictures


def test_a_grid_is_saved_at_each_validation_and_repeats(module, data, trainer, tmp_path):
    run = trainer(Pictures(count=2, steps=2), limit_val_batches=1, val_check_interval=2, max_steps=4)
    run.fit(module, data)
    files = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in files] == ["step-000002.png", "step-000004.png"]
    with Image.open(files[-1]) as saved:
        again = Pictures(count=2, steps=2).draw(module.eval(), next(iter(data.val_dataloader())))
        assert saved.size == again.size


def test_intervals_are_kept(module, data, trainer, tmp_path):
    pictures = Pictures(count=1, steps=1, every_n_steps=3)
    trainer(pictures, limit_val_batches=1, val_check_interval=1, max_steps=5).fit(module, data)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["step-000001.png", "step-000004.png"]


def test_drawing_leaves_the_random_state_alone(module, data):
    batch = next(iter(data.val_dataloader()))
    before = torch.get_rng_state()
    first = Pictures(count=2, steps=2).draw(module.eval(), batch)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.tobytes() == Pictures(count=2, steps=2).draw(module, batch).tobytes()


def test_wandb_gets_the_grid_offline(module, data, trainer, tmp_path):
    logger = WandbLogger(project="p", save_dir=tmp_path, offline=True)
    run = trainer(Pictures(count=1, steps=1), logger=logger, limit_val_batches=1, val_check_interval=2, max_steps=2)
    run.fit(module, data)
    logger.experiment.finish()
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/pictures_*.png"))
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/edits_*.table.json")
    content = json.loads(table.read_text())
    assert content["columns"] == [
        "step",
        "pair",
        "kind",
        "instruction",
        "written instruction",
        "original",
        "edited",
        "truth",
    ]
    assert [row[0] for row in content["data"]] == [2]
