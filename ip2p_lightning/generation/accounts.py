"""Per-stage counts of a generation folder, for the plan before a run and the card after it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.data.selection import REJECTED
from ip2p_lightning.generation.filter import KEPT
from ip2p_lightning.generation.filtering import kept, read_reasons
from ip2p_lightning.generation.manifest import Ledger, write_whole
from ip2p_lightning.generation.merge import Merged
from ip2p_lightning.generation.planner import Plan, make_plan
from ip2p_lightning.generation.run_card import RunCard, StageCount
from ip2p_lightning.generation.settings import Settings
from ip2p_lightning.generation.triples import Triples, read_triples, triples_of_file

_PACKAGES = ("ip2p-lightning", "torch", "diffusers", "transformers", "open_clip_torch")
_MOST_ERRORS = 20


class Accounts:
    """The ledgers of a folder and what they come to.

    Args:
        settings: of the run.
        folder: another run's in the place of its own.
    """

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        self.settings, self.folder = settings, folder or settings.folder
        self._of_file: Triples | None = None
        folder = self.folder
        digest = blake2b(json.dumps(settings.parts.get("filter"), sort_keys=True).encode(), digest_size=4).hexdigest()
        self.ledgers = {
            "triples": Ledger(folder / "triples", ".jsonl"),
            "pairs": Ledger(folder / "pairs", ".tar"),
            "filter": Ledger(folder / f"filter-{digest}", ".jsonl"),
            "expressive": Ledger(folder / "expressive", ".jsonl"),
        }

    def note(self, stage: str, name: str, content: Mapping[str, Any]) -> None:
        """Keep plain values next to a stage's parts."""
        write_whole(self.ledgers[stage].folder / f"{name}.json", json.dumps(content, indent=2).encode() + b"\n")

    def noted(self, stage: str, name: str) -> dict[str, Any]:
        """The values that were kept; {} if there are none."""
        file = self.ledgers[stage].folder / f"{name}.json"
        return read_json(file, "the stage's account", not_a_number="keep") if file.is_file() else {}

    def triples(self) -> Triples:
        """Triples of the stage `triples`, or of the file of triples."""
        if self.settings.triples_file:
            if self._of_file is None:  # hundreds of thousands of lines are checked once
                self._of_file = triples_of_file(self.settings.triples_file, self.settings.count)
            return self._of_file
        return read_triples(self.ledgers["triples"])

    def plan(self, captions: int, processes: int, device: torch.device) -> Plan:
        """Plan of a run with so many captions, at the rates that were measured here or in `rates_from`.

        Args:
            captions: that it begins with.
            processes: that share the work.
            device: of a process.
        """
        rates = self.settings.rates_from
        other = Accounts(self.settings, Path(rates)) if rates else self
        triples, verdicts = other.triples(), read_reasons(other.ledgers["filter"])
        yields = {}
        if triples.captions:
            yields["triples"] = len(triples.triples) / triples.captions
        if verdicts:
            yields["filter"] = sum(len(kept(reasons)) for reasons in verdicts.values()) / len(verdicts)
        done = len(other.ledgers["pairs"].records())
        return make_plan(
            captions,
            self.ledgers,
            other.ledgers,
            yields,
            processes,
            "GPU" if device.type == "cuda" else "process",
            f"measured in {other.folder} ({done:,} triples made into pairs)",
        )

    def card(self, merged: Merged, triples: Triples) -> RunCard:
        """The card of what was merged.

        Args:
            merged: see there.
            triples: that there are.
        """
        settings, info = self.settings, merged.info
        splits = dict(info.splits) if info else {}
        models = {part: name for stage in self.ledgers for part, name in self.noted(stage, "models").items()}
        noted = {part: told for stage in self.ledgers for part, told in self.noted(stage, "origins").items()}
        origins = {part: {"licence": "unknown", "version": ""} for part in models} | noted
        licence = self.noted("triples", "captions").get("licence", "unknown")
        stages = self._stages(merged, triples)
        errors = [item for name in self.ledgers for item in self.ledgers[name].facts().errors.items()]
        return RunCard(
            name=self.folder.name,
            licence=settings.licence,
            licences={"captions": licence} | {part: told["licence"] for part, told in origins.items()},
            models=models,
            versions={part: told["version"] for part, told in origins.items() if told["version"]},
            software={name: found for name in _PACKAGES if (found := _version(name))},
            seed=settings.seed,
            filter=settings.parts["filter"],
            search=settings.parts["search"],
            stages=stages,
            pairs={split: count for split, count in splits.items() if split != REJECTED},
            stored_rejected=splits.get(REJECTED, 0),
            direction=merged.direction / merged.reasons[KEPT] if merged.reasons[KEPT] else None,
            fingerprint=info.fingerprint if info else "",
            errors=dict(errors[:_MOST_ERRORS]),
        )

    def _stages(self, merged: Merged, triples: Triples) -> list[StageCount]:
        """Counts in and out of every stage."""
        captions = self.noted("triples", "captions")
        facts = {name: ledger.facts() for name, ledger in self.ledgers.items()}
        costs = {
            name: {"failed": len(fact.errors), "seconds": fact.seconds, "calls": fact.calls}
            for name, fact in facts.items()
        }
        counts = []
        if captions:
            refused = captions["refused"]
            passed = captions["looked_at"] - sum(refused.values())
            counts.append(StageCount("captions", captions["looked_at"], passed, "rows", "captions", refused))
        rejected = dict(triples.rejected)
        counts.append(
            StageCount(
                "triples", triples.captions, len(triples.triples), "captions", "triples", rejected, **costs["triples"]
            )
        )
        candidates = sum(merged.reasons.values())
        refused = dict(merged.refused)
        counts.append(
            StageCount("pairs", merged.triples, candidates, "triples", "candidates", refused, **costs["pairs"])
        )
        reasons = {reason: count for reason, count in merged.reasons.items() if reason != KEPT}
        counts.append(
            StageCount("filter", candidates, merged.reasons[KEPT], "candidates", "pairs", reasons, **costs["filter"])
        )
        if self.ledgers["expressive"].folder.is_dir():
            without = {"no text": merged.reasons[KEPT] - merged.expressive}
            rejected = {reason: count for reason, count in without.items() if count}
            counts.append(
                StageCount(
                    "expressive",
                    merged.reasons[KEPT],
                    merged.expressive,
                    "pairs",
                    "texts",
                    rejected,
                    **costs["expressive"],
                )
            )
        return counts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
