"""The data module under Lightning: loaders, epochs, distributed shares, resuming, and errors before training."""

from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from ip2p_lightning.config import build, compose, config_dir
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.memory import MemorySource
from ip2p_lightning.data.transforms import PairTransform

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Recorder(L.LightningModule):
    """Learns nothing and writes down which pairs, with which pixels, each step saw."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.weight = path, torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[str, int, list[str], list[float]]] = []

    def training_step(self, batch: PairBatch, _: int) -> torch.Tensor:
        assert isinstance(batch, PairBatch)
        self.seen.append(("train", self.current_epoch, batch.id, batch.original_image.mean((1, 2, 3)).tolist()))
        return self.weight * batch.original_image.mean()

    def validation_step(self, batch: PairBatch, _: int) -> None:
        self.seen.append(("validation", self.current_epoch, batch.id, batch.original_image.mean((1, 2, 3)).tolist()))

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_fit_end(self) -> None:
        (self.path / f"rank{self.global_rank}.json").write_text(json.dumps(self.seen))


def data_module(dataset: Path, **arguments: object) -> EditDataModule:
    arguments = {"transform": PairTransform(12, min_size=14, max_size=16), "batch_size": 8, **arguments}
    return EditDataModule.from_shards(dataset, **arguments)


def fit(data: EditDataModule, path: Path, **arguments: object) -> list:
    module = Recorder(path)
    L.Trainer(**{**QUIET, "max_epochs": 2, "num_sanity_val_steps": 0, **arguments}).fit(module, data)
    return module.seen


def test_epochs_are_full_shuffled_and_augmented_anew(dataset: Path, tmp_path: Path) -> None:
    seen = fit(data_module(dataset), tmp_path)
    epochs = [[step for step in seen if step[:2] == ("train", epoch)] for epoch in (0, 1)]
    for steps in epochs:
        assert len(steps) == 10
        assert {id for step in steps for id in step[2]} == {f"pair/{number}" for number in range(80)}
    first, second = ([id for step in steps for id in step[2]] for steps in epochs)
    assert first != second
    means = [{id: mean for step in steps for id, mean in zip(step[2], step[3], strict=True)} for steps in epochs]
    assert sum(means[0][id] != means[1][id] for id in means[0]) > 70, "crops of the second epoch are new"
    validation = [step[2] for step in seen if step[0] == "validation"]
    assert validation[:2] == [[f"pair/{n}" for n in range(80, 88)], ["pair/88", "pair/89"]]
    assert validation[2:] == validation[:2]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(dataset: Path, tmp_path: Path, workers: int) -> None:
    """Persistent workers too must learn of the epoch."""
    assert fit(data_module(dataset, workers=workers), tmp_path) == fit(data_module(dataset), tmp_path)


def test_seed_changes_the_order_only_where_it_should(dataset: Path) -> None:
    def first_ids(seed: int) -> list[str]:
        return next(iter(data_module(dataset, seed=seed).train_dataloader())).id

    torch.manual_seed(99)
    once = first_ids(0)
    torch.manual_seed(7)
    assert first_ids(0) == once != first_ids(1)


@pytest.mark.parametrize("use_distributed_sampler", [True, False])
def test_two_ranks_share_every_epoch(dataset: Path, tmp_path: Path, use_distributed_sampler: bool) -> None:
    """Under Lightning's defaults, and with its sampler replacement off: the ranks together see one rank's epoch."""
    alone = fit(data_module(dataset, batch_size=8), tmp_path)
    fit(
        data_module(dataset, batch_size=4, workers=1),
        tmp_path,
        strategy=DDPStrategy(start_method="fork", process_group_backend="gloo"),
        devices=2,
        use_distributed_sampler=use_distributed_sampler,
    )
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    for epoch in (0, 1):
        shares = [{id for kind, e, ids, _ in rank if kind == "train" and e == epoch for id in ids} for rank in ranks]
        assert not shares[0] & shares[1]
        assert shares[0] | shares[1] == {
            id for kind, e, ids, _ in alone if kind == "train" and e == epoch for id in ids
        }
    means = {(e, id): m for kind, e, ids, ms in alone if kind == "train" for id, m in zip(ids, ms, strict=True)}
    for rank in ranks:
        for kind, epoch, ids, values in rank:
            if kind == "train":
                assert values == [means[epoch, id] for id in ids], "a pair's crop must not depend on its rank"


def test_resuming_at_an_epochs_end_goes_on_with_the_next_order(dataset: Path, tmp_path: Path) -> None:
    whole = fit(data_module(dataset, workers=1), tmp_path, limit_val_batches=0)
    first = Recorder(tmp_path)
    trainer = L.Trainer(**QUIET | {"max_epochs": 1, "limit_val_batches": 0})
    trainer.fit(first, data_module(dataset, workers=1))
    trainer.save_checkpoint(tmp_path / "epoch.ckpt")
    second = Recorder(tmp_path)
    trainer = L.Trainer(**QUIET | {"max_epochs": 2, "limit_val_batches": 0})
    trainer.fit(second, data_module(dataset, workers=1), ckpt_path=tmp_path / "epoch.ckpt", weights_only=True)
    assert first.seen + second.seen == whole


def test_sources_and_folders_mix(dataset: Path, pairs, tmp_path: Path) -> None:
    shards = data_module(dataset)
    data = EditDataModule(
        [shards.sources()["train"], MemorySource(pairs(20, start=1000))],
        validation=pairs(6, start=2000),
        transform=PairTransform(8),
        batch_size=10,
        eval_batch_size=4,
    )
    ids = {id for batch in data.train_dataloader() for id in batch.id}
    assert len(ids) == 100
    assert "pair/1019" in ids
    assert [len(batch) for batch in data.val_dataloader()] == [4, 2]
    assert list(data.sources()) == ["train", "validation"]
    with pytest.raises(ValueError, match="no test pairs, only train, validation"):
        data.test_dataloader()


def test_training_without_validation_pairs_works(pairs, tmp_path: Path) -> None:
    data = EditDataModule(pairs(8), transform=PairTransform(8), batch_size=4)
    assert len(fit(data, tmp_path)) == 4


def test_several_folders_are_joined(dataset: Path) -> None:
    data = EditDataModule.from_shards([dataset, dataset], transform=PairTransform(8), size=30, eval_size=4)
    assert {name: len(source) for name, source in data.sources().items()} == {"train": 60, "validation": 8, "test": 8}


def test_selection_reaches_all_splits_and_sizes_nest(dataset: Path) -> None:
    small, large = (data_module(dataset, size=size, kinds=["season"], eval_size=2) for size in (10, 20))
    ids = [set(data.train.column("id")) for data in (small, large)]
    assert ids[0] < ids[1]
    assert set(small.test.column("kind")) == {"season"}
    assert len(small.validation) == len(large.validation) == 2
    cut = data_module(dataset, splits={"train": 0.5, "test": 0.5})
    assert list(cut.sources()) == ["train", "test"]
    assert not set(cut.train.groups) & set(cut.test.groups)


def test_errors_come_before_training(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no dataset at .*gone.*ip2p data render"):
        data_module(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"data\.size=200 but only 80 pairs survive"):
        data_module(dataset, size=200)
    with pytest.raises(ValueError, match=r"80 training pairs .*data\.batch_size"):
        data_module(dataset, batch_size=81).train_dataloader()
    with pytest.raises(ValueError, match=r"data\.path is empty"):
        EditDataModule.from_shards([], transform=PairTransform(8))
    with pytest.raises(ValueError, match="no pairs at all"):
        EditDataModule(transform=PairTransform(8))


SHARDS = ("shards", "buckets", "ip2p_paper", "mgie_paper")
DRAWN = (
    "world",
    "world_tiny",
    "photos",
    "two_levels",
    "broad_and_photos",
    "world_candidates",
    "world_tasks",
)
BESIDE_THEIR_SOURCES = {"magicbrush", "emu_edit", "gier", "evr", "ma5k", "world_benchmark", "triples", "triples_jsonl"}
"""Tested with data of their own layouts: tests/data/sources, tests/evaluation, tests/methods."""


def test_every_configuration_is_tested() -> None:
    options = {path.stem for path in (config_dir() / "data").glob("*.yaml")}
    assert options == {*SHARDS, *DRAWN} | BESIDE_THEIR_SOURCES


@pytest.mark.parametrize("option", SHARDS)
def test_configurations_of_shards_build(option: str, dataset: Path) -> None:
    data = build(compose("train", [f"data={option}", f"data.path={dataset}", "data.workers=0"]).data)
    assert isinstance(data, EditDataModule)
    batch = next(iter(data.test_dataloader()))
    side = data.transform.resolution
    assert batch.original_image.shape[1:] == (3, side, side)
    assert set(data.sources()) == {"train", "validation", "test"}


@pytest.mark.parametrize("option", DRAWN)
def test_configurations_of_drawn_pairs_build(option: str) -> None:
    data = build(compose("train", [f"data={option}"]).data)
    assert isinstance(data, EditDataModule)
    batch = next(iter(data.val_dataloader()))
    side = data.transform.resolution
    assert batch.original_image.shape[1:] == (3, side, side)
    assert {"train", "validation"} <= set(data.sources())


def test_every_key_of_the_configurations_has_a_comment() -> None:
    for folder in ("data", "source"):
        for path in (config_dir() / folder).glob("*.yaml"):
            lines = path.read_text().splitlines()
            assert lines[0].startswith("# "), f"{path.name} starts with what it is for"
            for line in lines:
                bare = line.strip()
                if ":" in bare and not bare.startswith(("#", "-", "_target_", "defaults:")) and not bare.endswith(":"):
                    assert "  # " in line or " # " in line, f"{path.name}: {line}"
