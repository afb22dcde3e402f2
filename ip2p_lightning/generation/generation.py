"""A run of the stages in one folder: each from what the one before it left, then the merge and the run card."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as L
import torch
from omegaconf import DictConfig
from PIL import Image

from ip2p_lightning import __version__
from ip2p_lightning.config import build, plain
from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.generation.accounts import Accounts, essential
from ip2p_lightning.generation.base import Caption, Rejected
from ip2p_lightning.generation.captions import take
from ip2p_lightning.generation.expanding import WriteExpressive, kept_pairs, read_texts
from ip2p_lightning.generation.filtering import FilterPairs, RecordedTriple, read_reasons, recorded
from ip2p_lightning.generation.merge import Merged, merge
from ip2p_lightning.generation.origins import has_weights, origins
from ip2p_lightning.generation.pairs import MakePairs
from ip2p_lightning.generation.stages import Work, run_stage
from ip2p_lightning.generation.triples import WriteTriples
from ip2p_lightning.progress import bar
from ip2p_lightning.store import Claims
from ip2p_lightning.terminal import Terminal

STAGES = ("triples", "pairs", "filter", "expressive")
DATASET = "dataset"
_FILTERED_AT_ONCE = 256


class Generation:
    """The stages of one folder.

    Args:
        config: composed from conf/generate.yaml.
        trainer: on which the stages run.

    Raises:
        ValueError: an unknown stage.
    """

    def __init__(self, config: DictConfig, trainer: L.Trainer) -> None:
        if unknown := [stage for stage in config.stages if stage not in STAGES]:
            raise ValueError(f"stages={list(config.stages)}: there is no {unknown}; choose from {', '.join(STAGES)}")
        self.config, self.trainer = config, trainer
        self.folder = Path(config.output_dir)
        self.console = Terminal(quiet=not trainer.is_global_zero)
        self.accounts = Accounts(self.folder, config)
        self.ledgers = self.accounts.ledgers

    def run(self) -> None:
        """Run the stages that are asked for, in their order, and merge; with `plan`, measure, tell and stop.

        Raises:
            ManifestError: a stage was begun with other settings.
            ValueError: a stage without what the one before it leaves.
        """
        self._check_settings()
        if self.config.plan:
            self._stages(limit=self.config.pilot)
            self._tell_plan()
            return
        self._tell_plan()
        self._stages(limit=None)
        if self.trainer.is_global_zero and (triples := self._recorded()):
            with Claims(self.folder).hold(DATASET):  # every member of a job array has all; one after the other merges
                self._finish(triples)
        self.trainer.strategy.barrier()

    def _stages(self, limit: int | None) -> None:
        work = (self._triples, self._pairs, self._filter, self._expressive)
        for stage, do in zip(STAGES, work, strict=True):
            if stage in self.config.stages:
                do(limit)

    def _triples(self, limit: int | None) -> None:
        if self.config.triples_file:
            return
        source = build(self.config.captions)
        entries = list(take(source, self.config.count))
        captions = [entry for entry in entries if isinstance(entry, Caption)]
        refused = Counter(entry.reason for entry in entries if isinstance(entry, Rejected))
        licence = str(getattr(source, "licence", "unknown"))
        if entries and not captions:
            counted = ", ".join(f"{count:,} {reason}" for reason, count in refused.most_common())
            first = next(entry for entry in entries if isinstance(entry, Rejected))
            raise ValueError(
                f"none of {len(entries):,} captions can be used ({counted}); the first: {first.id}: "
                f"{first.detail[:300]}"
            )
        self._note("triples", "captions", {"looked_at": len(entries), "refused": refused, "licence": licence})
        work = WriteTriples(self._build("writer"), self.config.seed)
        self._do("triples", work, captions[:limit], self.config.triples_batch_size, writer=work.writer)

    def _pairs(self, limit: int | None) -> None:
        config, triples = self.config, self.accounts.triples().triples[:limit]
        if not triples:
            refused = self.accounts.triples().rejected
            counted = ", ".join(f"{count:,} {reason}" for reason, count in refused.most_common())
            raise ValueError(
                f"there are no triples in {self.folder}{f': all were refused ({counted})' if counted else ''}; run the "
                "stage triples first, or give triples_file=FILE"
            )
        work = MakePairs(
            self._build("maker"),
            self._build("scorer"),
            self._build("search"),
            pictures=config.pictures,
            rejected=config.store_rejected,
        )
        self._do("pairs", work, triples, config.batch_size, maker=work.maker, scorer=work.scorer)

    def _filter(self, limit: int | None) -> None:
        work = FilterPairs(self._build("filter"))
        asked: dict[str, Any] = {"safety": work.filter.safety} if work.filter.safety else {}
        if work.filter.duplicates and has_weights(work.filter.duplicates):
            asked["duplicates"] = work.filter.duplicates
        self._do("filter", work, self._recorded()[:limit], _FILTERED_AT_ONCE, **asked)

    def _expressive(self, limit: int | None) -> None:
        triples = self._recorded()
        verdicts = read_reasons(self.ledgers["filter"], triples)
        if not verdicts:
            raise ValueError(f"the filter has not looked at the pairs in {self.folder} yet; run the stage filter first")
        work = WriteExpressive(self._build("expander") if self.config.get("expander") else None)
        inputs = kept_pairs(triples, verdicts)[:limit]
        named = {"expander": work.expander} if work.expander else {}
        self._do("expressive", work, inputs, self.config.expressive_batch_size, **named)

    def _do(self, stage: str, work: Work, inputs: Sequence[Any], batch_size: int, **models: Any) -> None:
        """Run a stage, after noting what its models are called and where their weights are from."""
        names = {part: str(getattr(model, "name", type(model).__name__)) for part, model in models.items()}
        self._note(stage, "models", names)
        if self.trainer.is_global_zero:
            found = [origins(part, model) for part, model in models.items()]
            self._note(stage, "origins", {name: asdict(told) for parts in found for name, told in parts.items()})
        run_stage(self.trainer, work, inputs, self.ledgers[stage], batch_size)

    def _build(self, part: str) -> Any:
        """A part, on this process's own accelerator; random weights, if it has any, are the same everywhere."""
        if self.trainer.strategy.root_device.type == "cuda":
            torch.cuda.set_device(self.trainer.strategy.root_device)
        torch.manual_seed(self.config.seed)
        return build(self.config[part])

    def _check_settings(self) -> None:
        """Raise ManifestError before any work if a stage was begun with other settings."""
        config = self.config
        parts = {
            "triples": ("writer", "seed"),
            "pairs": ("maker", "scorer", "search", "pictures", "seed"),
            "expressive": ("expander",),
        }
        for stage, names in parts.items():
            if stage in config.stages and self.trainer.is_global_zero:
                self.ledgers[stage].settings({name: essential(config.get(name)) for name in names})

    def _note(self, stage: str, name: str, content: dict[str, Any]) -> None:
        if self.trainer.is_global_zero:
            self.accounts.note(stage, name, content)

    def _tell_plan(self) -> None:
        """Print what is ahead, at the rate that was measured here or in the folder `rates_from`."""
        if not self.trainer.is_global_zero:
            return
        plan = self.accounts.plan(self._captions_ahead(), self.trainer.world_size, self.trainer.strategy.root_device)
        if plan.known:
            self.console.print(plan.table())
        else:
            words = "no rate was measured yet: plan=true measures one, rates_from=FOLDER takes another run's"
            self.console.print(words, highlight=False, soft_wrap=True)

    def _captions_ahead(self) -> int:
        """How many captions the run begins with."""
        if self.config.count is not None:
            return self.config.count
        if self.config.triples_file:
            return self.accounts.triples().captions
        return sum(1 for _ in take(build(self.config.captions), None))

    def _recorded(self) -> list[RecordedTriple]:
        """Pairs of the triples that there are now, or of all triples if nobody knows which those are."""
        written = self.accounts.triples()
        return recorded(self.ledgers["pairs"], written.triples if written.captions else None)

    def _finish(self, triples: list[RecordedTriple]) -> None:
        """Merge what there is of these triples, and write the card."""
        with bar(console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task("merging", total=len(triples))
            merged = merge(
                self.folder / DATASET,
                triples,
                read_reasons(self.ledgers["filter"], triples),
                read_texts(self.ledgers["expressive"], triples),
                splits=plain(self.config.splits),
                name=self.folder.name,
                licence=self.config.licence,
                provenance={"software": f"ip2p_lightning {__version__}", "generated": self.accounts.settings()},
                advance=lambda count: progress.advance(task, count),
            )
        self._tell(merged)

    def _tell(self, merged: Merged) -> None:
        """Write the card and say what there is now."""
        card = self.accounts.card(merged, self.accounts.triples())
        folder = self.folder / DATASET if merged.info else self.folder
        card.save(folder)
        for line in card.summary():
            self.console.print(line, highlight=False)
        if merged.info:
            self.console.print(training_command(folder, merged.info), highlight=False, soft_wrap=True)


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
