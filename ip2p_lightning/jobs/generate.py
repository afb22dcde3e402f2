"""`ip2p generate`: captions to edit pairs in stages, each of which goes on where it was stopped."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from hashlib import blake2b
from json import dumps
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from ip2p_lightning import __version__
from ip2p_lightning.config import build, plain
from ip2p_lightning.generation.base import Caption
from ip2p_lightning.generation.captions import take
from ip2p_lightning.generation.filtering import FilterPairs, read_reasons, recorded
from ip2p_lightning.generation.manifest import Ledger, only_one
from ip2p_lightning.generation.merge import Merged, merge
from ip2p_lightning.generation.pairs import MakePairs
from ip2p_lightning.generation.stages import run_stage
from ip2p_lightning.generation.triples import Triples, WriteTriples, read_triples, triples_of_file
from ip2p_lightning.strategies.ranks import ranks

log = logging.getLogger(__name__)

STAGES = ("triples", "pairs", "filter", "expressive")
_FREE = ("batch_size", "device", "at_once")
"""Keys that change how fast something is done, and not what comes of it."""


def run(config: DictConfig) -> None:
    """Run the stages that are asked for; see `generate`."""
    generate(config)


def generate(config: DictConfig) -> Path:
    """Run the stages of `config.stages` and merge what there is; returns the dataset folder.

    Args:
        config: composed from conf/generate.yaml.

    Raises:
        ValueError: an unknown stage, or a stage without what the one before it leaves.
        ManifestError: a folder with records of other settings, or in use.
    """
    if unknown := [stage for stage in config.stages if stage not in STAGES]:
        raise ValueError(f"stages={list(config.stages)}: there is no {unknown}; choose from {', '.join(STAGES)}")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r".*does not have many workers")
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    L.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    trainer: L.Trainer = build(config.trainer, logger=False, enable_checkpointing=False, use_distributed_sampler=False)
    folder = Path(config.output_dir)
    with only_one(folder) if trainer.is_global_zero else nullcontext(), ranks(trainer, config, job="generate"):
        if trainer.is_global_zero:
            OmegaConf.save(config, folder / "config.yaml", resolve=True)
        return Generation(config, trainer).run()


class Generation:
    """One run of the stages.

    Args:
        config: composed from conf/generate.yaml.
        trainer: on which the stages run.
    """

    def __init__(self, config: DictConfig, trainer: L.Trainer) -> None:
        self.config, self.trainer = config, trainer
        self.folder = Path(config.output_dir)
        self.console = Console(quiet=not trainer.is_global_zero)
        filter_settings = blake2b(dumps(_settings(config.filter), sort_keys=True).encode(), digest_size=4).hexdigest()
        self.ledgers = {
            "triples": Ledger(self.folder / "triples", ".jsonl"),
            "pairs": Ledger(self.folder / "pairs", ".tar"),
            "filter": Ledger(self.folder / f"filter-{filter_settings}", ".jsonl"),
            "expressive": Ledger(self.folder / "expressive", ".jsonl"),
        }

    def run(self) -> Path:
        """Run the stages that are asked for, in their order, and merge."""
        work = {"triples": self._triples, "pairs": self._pairs, "filter": self._filter}
        for stage in STAGES:
            if stage in self.config.stages and stage in work:
                work[stage]()
        if self.trainer.is_global_zero and self.ledgers["pairs"].records():
            self._merge()
        self.trainer.strategy.barrier()
        return self.folder / "dataset"

    def _triples(self) -> None:
        config = self.config
        if config.triples_file:
            return
        captions = [entry for entry in take(build(config.captions), config.count) if isinstance(entry, Caption)]
        self._check("triples", {"writer": config.writer, "seed": config.seed})
        work = WriteTriples(build(config.writer), config.seed)
        run_stage(self.trainer, work, captions, self.ledgers["triples"], config.triples_batch_size)

    def _pairs(self) -> None:
        config = self.config
        triples = self.triples().triples
        if not triples:
            raise ValueError(
                f"there are no triples in {self.folder}; run stages=[triples,...] first, or give triples_file=FILE"
            )
        parts = {name: config[name] for name in ("maker", "scorer", "search")}
        self._check("pairs", {**parts, "seed": config.seed, "pictures": config.pictures})
        work = MakePairs(*map(build, parts.values()), pictures=config.pictures, rejected=config.store_rejected)
        run_stage(self.trainer, work, triples, self.ledgers["pairs"], config.batch_size)

    def _filter(self) -> None:
        run_stage(
            self.trainer,
            FilterPairs(build(self.config.filter)),
            recorded(self.ledgers["pairs"]),
            self.ledgers["filter"],
            64 * self.config.batch_size,
        )

    def triples(self) -> Triples:
        """What the stage `triples` left, or the file of triples holds."""
        if self.config.triples_file:
            return triples_of_file(self.config.triples_file, self.config.count)
        return read_triples(self.ledgers["triples"])

    def _merge(self) -> Merged:
        merged = merge(
            self.folder / "dataset",
            recorded(self.ledgers["pairs"]),
            read_reasons(self.ledgers["filter"]),
            {},
            splits=plain(self.config.splits),
            name=self.folder.name,
            licence="",
            provenance={"software": f"ip2p_lightning {__version__}"},
        )
        print(merged)
        return merged

    def _check(self, stage: str, settings: Mapping[str, Any]) -> None:
        """Raise ManifestError if the stage was begun with other settings."""
        if self.trainer.is_global_zero:
            self.ledgers[stage].settings({key: _settings(value) for key, value in settings.items()})


def _settings(node: Any) -> Any:
    """A configuration without the keys that do not matter to the result."""
    node = plain(node)
    if isinstance(node, dict):
        return {key: _settings(value) for key, value in node.items() if key not in _FREE}
    return [_settings(value) for value in node] if isinstance(node, list) else node
