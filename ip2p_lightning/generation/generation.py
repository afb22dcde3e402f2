"""A run of the stages in one folder: each from what the one before it left, then the merge and the run card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, Protocol

import torch

from ip2p_lightning import __version__
from ip2p_lightning.generation.accounts import Accounts
from ip2p_lightning.generation.base import Caption, Rejected
from ip2p_lightning.generation.captions import take
from ip2p_lightning.generation.executors import Executor
from ip2p_lightning.generation.expanding import WriteExpressive, kept_pairs, read_texts
from ip2p_lightning.generation.filtering import FilterPairs, read_reasons
from ip2p_lightning.generation.merge import Merged, merge
from ip2p_lightning.generation.origins import has_weights, origins
from ip2p_lightning.generation.pairs import Made, MakePairs, recorded
from ip2p_lightning.generation.planner import Plan
from ip2p_lightning.generation.run_card import RunCard
from ip2p_lightning.generation.settings import STAGES, Parts, Settings
from ip2p_lightning.generation.stages import StageRun, Work
from ip2p_lightning.generation.triples import WriteTriples
from ip2p_lightning.store import Claims

DATASET = "dataset"
_FILTERED_AT_ONCE = 256


class Watcher(Protocol):
    """Shows how a run goes."""

    def planned(self, plan: Plan) -> None:
        """Take the plan, before any work."""
        ...

    def merging(self, triples: int) -> AbstractContextManager[Callable[[int], None]]:
        """Begin to merge so many triples; what it gives is called with a number of them as they are merged."""
        ...

    def ended(self, card: RunCard, merged: Merged) -> None:
        """Take the summary, after all work."""
        ...


class Generation:
    """The stages of one folder.

    Args:
        settings: what is made, and where.
        parts: what makes it.
        executor: where the work is done.
        watcher: is given the progress; None for no output.
    """

    def __init__(self, settings: Settings, parts: Parts, executor: Executor, watcher: Watcher | None = None) -> None:
        self.settings, self.parts, self.executor, self.watcher = settings, parts, executor, watcher
        self.accounts = Accounts(settings)
        self.ledgers = self.accounts.ledgers

    def run(self) -> None:
        """Run the stages that are asked for, in their order, and merge; with `plan`, measure, say so and stop.

        Raises:
            ManifestError: a stage was started with other settings.
            ValueError: a stage without what the one before it leaves.
        """
        self._check_settings()
        if not self.settings.plan:
            self._plan()
        limit = self.settings.pilot if self.settings.plan else None
        for name in STAGES:
            if name in self.settings.stages and (stage := self.stage(name, limit)):
                self.executor.run(stage)
        if self.settings.plan:
            self._plan()
            return
        if self.executor.first and (triples := self._recorded()):
            with Claims(self.settings.folder).hold(DATASET):  # each member of a job array merges, one after the other
                self._merge(triples)
        self.executor.meet()

    def stage(self, name: str, limit: int | None = None) -> StageRun | None:
        """A stage with its inputs; None where a file of triples takes its place.

        Args:
            name: of the stage.
            limit: use so many inputs alone.

        Raises:
            ValueError: there is nothing that it could work on.
        """
        begin = {"triples": self._triples, "pairs": self._pairs, "filter": self._filter, "expressive": self._expressive}
        return begin[name](limit)

    def _triples(self, limit: int | None) -> StageRun | None:
        if self.settings.triples_file:
            return None
        source = self.parts.captions()
        entries = list(take(source, self.settings.count))
        captions = [entry for entry in entries if isinstance(entry, Caption)]
        refused = Counter(entry.reason for entry in entries if isinstance(entry, Rejected))
        licence = str(getattr(source, "licence", "unknown"))
        if entries and not captions:
            first = next(entry for entry in entries if isinstance(entry, Rejected))
            raise ValueError(
                f"none of {len(entries):,} captions can be used ({_counted(refused)}); the first: {first.id}: "
                f"{first.detail[:300]}"
            )
        self._note("triples", "captions", {"looked_at": len(entries), "refused": refused, "licence": licence})

        def build() -> Work:
            guard = self._build(self.parts.safety) if self.parts.safety else None
            work = WriteTriples(self._build(self.parts.writer), self.settings.seed, guard)
            self._note_models("triples", writer=work.writer, **({"guard": guard} if guard else {}))
            return work

        return self._stage("triples", build, captions, self.settings.triples_batch_size, limit)

    def _pairs(self, limit: int | None) -> StageRun:
        written, settings = self.accounts.triples(), self.settings
        if not written.triples:
            told = f": all were refused ({_counted(written.rejected)})" if written.rejected else ""
            raise ValueError(
                f"there are no triples in {settings.folder}{told}; run the stage triples first, or give "
                "triples_file=FILE"
            )

        def build() -> Work:
            parts = [self._build(part) for part in (self.parts.maker, self.parts.scorer, self.parts.search)]
            work = MakePairs(*parts, pictures=settings.pictures, rejected=settings.store_rejected)
            self._note_models("pairs", maker=work.maker, scorer=work.scorer)
            return work

        return self._stage("pairs", build, written.triples, settings.batch_size, limit)

    def _filter(self, limit: int | None) -> StageRun:
        def build() -> Work:
            work = FilterPairs(self._build(self.parts.filter))
            asked: dict[str, Any] = {"safety": work.filter.safety} if work.filter.safety else {}
            if work.filter.duplicates and has_weights(work.filter.duplicates):
                asked["duplicates"] = work.filter.duplicates
            self._note_models("filter", **asked)
            return work

        return self._stage("filter", build, self._recorded(), _FILTERED_AT_ONCE, limit)

    def _expressive(self, limit: int | None) -> StageRun:
        triples = self._recorded()
        verdicts = read_reasons(self.ledgers["filter"], triples)
        if not verdicts:
            raise ValueError(
                f"the filter has not looked at the pairs in {self.settings.folder} yet; run the stage filter first"
            )

        def build() -> Work:
            work = WriteExpressive(self._build(self.parts.expander) if self.parts.expander else None)
            self._note_models("expressive", **({"expander": work.expander} if work.expander else {}))
            return work

        pairs = kept_pairs(triples, verdicts)
        return self._stage("expressive", build, pairs, self.settings.expressive_batch_size, limit)

    def _stage(
        self, name: str, build: Callable[[], Work], inputs: Sequence[Any], batch_size: int, limit: int | None
    ) -> StageRun:
        return StageRun(name, build, inputs[:limit], self.ledgers[name], batch_size, limit)

    def _build(self, part: Callable[[], Any]) -> Any:
        """A part, on this process's own accelerator; random weights, if it has any, are the same everywhere."""
        if self.executor.device.type == "cuda":
            torch.cuda.set_device(self.executor.device)
        torch.manual_seed(self.settings.seed)
        return part()

    def _note_models(self, stage: str, **models: Any) -> None:
        """Note what the models of a stage are called, and where their weights are from."""
        if self.executor.first:
            names = {part: str(getattr(model, "name", type(model).__name__)) for part, model in models.items()}
            self._note(stage, "models", names)
            found = [origins(part, model) for part, model in models.items()]
            self._note(stage, "origins", {name: asdict(told) for parts in found for name, told in parts.items()})

    def _check_settings(self) -> None:
        """Raise ManifestError before any work if a stage was started with other settings."""
        own = {"seed": self.settings.seed, "pictures": self.settings.pictures}
        parts = {
            "triples": ("writer", "seed", "safety"),
            "pairs": ("maker", "scorer", "search", "pictures", "seed"),
            "expressive": ("expander",),
        }
        for stage, names in parts.items():
            if stage in self.settings.stages and self.executor.first:
                known = {**self.settings.parts, **own}
                self.ledgers[stage].settings({name: known.get(name) for name in names})

    def _note(self, stage: str, name: str, content: dict[str, Any]) -> None:
        if self.executor.first:
            self.accounts.note(stage, name, content)

    def _plan(self) -> None:
        """Show what is ahead, at the rate that was measured here or in the folder `rates_from`."""
        if self.executor.first and self.watcher is not None:
            ahead = self._captions_ahead()
            self.watcher.planned(self.accounts.plan(ahead, self.executor.processes, self.executor.device))

    def _captions_ahead(self) -> int:
        """Number of captions that the run begins with."""
        if self.settings.count is not None:
            return self.settings.count
        if self.settings.triples_file:
            return self.accounts.triples().captions
        return sum(1 for _ in take(self.parts.captions(), None))

    def _recorded(self) -> list[Made]:
        """Pairs of the triples that there are now, or of all triples if it is not recorded which those are."""
        written = self.accounts.triples()
        return recorded(self.ledgers["pairs"], written.triples if written.captions else None)

    def _merge(self, triples: list[Made]) -> None:
        """Merge what there is of these triples, and write the card."""
        settings = self.settings
        told: dict[str, Any] = {"software": f"ip2p_lightning {__version__}", "generated": settings.recorded()}

        def work(advance: Callable[[int], None] | None) -> Merged:
            return merge(
                settings.folder / DATASET,
                triples,
                read_reasons(self.ledgers["filter"], triples),
                read_texts(self.ledgers["expressive"], triples),
                splits=settings.splits,
                name=settings.folder.name,
                licence=settings.licence,
                provenance=told,
                advance=advance,
            )

        if self.watcher is None:
            merged = work(None)
        else:
            with self.watcher.merging(len(triples)) as advance:
                merged = work(advance)
        card = self.accounts.card(merged, self.accounts.triples())
        card.save(settings.folder / DATASET if merged.info else settings.folder)
        if self.watcher is not None:
            self.watcher.ended(card, merged)


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
