"""`ip2p generate`: captions to edit pairs in stages, each of which goes on where it was stopped."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as L
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from ip2p_lightning.config import build, plain
from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.distributed.ranks import launch_ranks
from ip2p_lightning.files import write_whole
from ip2p_lightning.generation.executors import Array, Executor, Processes, RayActors
from ip2p_lightning.generation.generation import DATASET, Generation
from ip2p_lightning.generation.merge import Merged
from ip2p_lightning.generation.planner import Plan
from ip2p_lightning.generation.run_card import RunCard
from ip2p_lightning.generation.settings import Parts, Settings, essential
from ip2p_lightning.jobs.arithmetic import decide_precision, recorded_precision
from ip2p_lightning.precision import FULL
from ip2p_lightning.progress import bar
from ip2p_lightning.redaction import without_secrets
from ip2p_lightning.store.actors import Worker, cluster
from ip2p_lightning.terminal import Terminal

_PARTS = ("captions", "writer", "maker", "scorer", "search", "filter", "expander", "safety")
_OPTIONAL = ("expander", "safety")
_SAME = (
    "stages", "count", "triples_file", "seed", "batch_size", "triples_batch_size", "expressive_batch_size", "pictures",
    "store_rejected", "splits", "licence", "plan", "pilot", "rates_from",
)  # fmt: skip


def run(config: DictConfig) -> None:
    """Run the stages that are asked for; see `generate`."""
    generate(config)


def generate(config: DictConfig) -> Path:
    """Run the stages of `config.stages` and merge what there is; returns the dataset folder.

    Args:
        config: composed from conf/generate.yaml.

    Raises:
        ValueError: an unknown stage, or a stage without what the one before it leaves.
        ManifestError: a folder with records of other settings.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r".*does not have many workers")  # texts need none
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")  # inside Lightning
    warnings.filterwarnings("ignore", message=r".*Total length of `DataLoader`")  # nothing is left to do
    L.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    folder = Path(config.output_dir)
    decide_precision(config.trainer, recorded_precision(folder))
    if config.executor == "processes":
        callbacks = list(build(config.callbacks).values())
        options = {"logger": False, "enable_checkpointing": False, "use_distributed_sampler": False}
        trainer: L.Trainer = build(config.trainer, callbacks=callbacks, **options)
        with launch_ranks(trainer, config, f"{__name__}:generate"):
            _run(config, Processes(trainer))
    elif config.executor == "array":
        _run(config, _array(config))
    else:
        gpus = torch.cuda.device_count()
        actors = config.actors or gpus or 1
        share = min(1.0, gpus / actors)
        make = partial(_worker, cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True)))
        with cluster(actors, share, config.address):
            _run(config, RayActors(make, actors, share))
    return folder / DATASET


def _run(config: DictConfig, executor: Executor) -> None:
    if executor.first:
        file = Path(config.output_dir) / "config.yaml"
        write_whole(file, OmegaConf.to_yaml(without_secrets(config)), shared=True)
    _generation(config, executor, Shown(Path(config.output_dir)) if executor.first else None).run()


def _generation(config: DictConfig, executor: Executor, watcher: Shown | None = None) -> Generation:
    """The stages that a configuration describes."""
    if config.get("safety") and config.safety.get("images") and not config.filter.get("safety"):
        config = config.copy()
        OmegaConf.update(config, "filter.safety", config.safety.images, force_add=True)
    needed = [name for name in _PARTS if name not in _OPTIONAL or config.get(name)]
    parts: Any = {name: partial(build, config[name]) for name in needed}
    told = {name: essential(plain(config.get(name))) for name in _PARTS}
    same: Any = {name: plain(config[name]) for name in _SAME}
    return Generation(Settings(Path(config.output_dir), told, **same), Parts(**parts), executor, watcher)


def _array(config: DictConfig) -> Array:
    cuda = torch.cuda.is_available() and config.trainer.get("accelerator") != "cpu"
    return Array(torch.device("cuda" if cuda else "cpu"), config.trainer.get("precision") or FULL)


def _worker(config: Mapping[str, Any], stage: str, limit: int | None) -> Worker:
    """Stage function of a Ray actor, by the name of a block: its models are built here."""
    torch.set_num_threads(config["threads"] or 1)
    own = OmegaConf.create(dict(config))
    array = _array(own)
    if (found := _generation(own, array).stage(stage, limit)) is None:
        raise ValueError(f"there is no stage {stage} to be run")
    return array.worker(found)


class Shown:
    """Says on the terminal how a run goes.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.console = folder, Terminal()

    def planned(self, plan: Plan) -> None:
        """See `Watcher.planned`."""
        if plan.known:
            self.console.print(plan.table())
            return
        words = "no rate was measured yet: plan=true measures one, rates_from=FOLDER takes another run's"
        self.console.print(words, highlight=False, soft_wrap=True)

    @contextmanager
    def merging(self, triples: int) -> Iterator[Callable[[int], None]]:
        """See `Watcher.merging`."""
        with bar(console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task("merging", total=triples)
            yield lambda count: progress.advance(task, count)

    def ended(self, card: RunCard, merged: Merged) -> None:
        """See `Watcher.ended`."""
        for line in card.summary():
            self.console.print(line, highlight=False)
        if merged.info:
            command = training_command(self.folder / DATASET, merged.info)
            self.console.print(command, highlight=False, soft_wrap=True)


def training_command(folder: Path, info: DatasetInfo) -> str:
    """The command that trains on a dataset as it is: an experiment of its images' size, batches that it can fill."""
    pairs = ShardDataset(folder, Selection(split="train" if "train" in info.splits else None))
    side = min(cast(Image.Image, pairs[0].original_image).size)
    size = "tiny" if side <= 32 else "world" if side <= 128 else "paper"
    batch = min(16, info.splits.get("train", info.pairs))
    path = shlex.quote(f"data.path={folder}")
    return (
        f"ip2p train experiment=ip2p/{size} data=shards {path} data.transform.resolution={side} data.batch_size={batch}"
    )
