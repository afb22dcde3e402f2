"""The card of a generated dataset: what made it, what was refused why, what it cost; for programs and people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.formatting import duration
from ip2p_lightning.generation.manifest import write_whole

CARD, README = "run_card.json", "README.md"


@dataclass(frozen=True)
class StageCount:
    """Counts of a stage: inputs, results, and reject reasons of the rest.

    Args:
        name: of the stage.
        inputs: what it looked at.
        outputs: what it passed on.
        unit_in, unit_out: what they are.
        rejected: reason -> how many.
        failed: inputs that ended in an error; the next run tries them again.
        seconds: of all processes together.
        calls: samples that went through a denoiser.
    """

    name: str
    inputs: int
    outputs: int
    unit_in: str
    unit_out: str
    rejected: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    seconds: float = 0.0
    calls: int = 0


@dataclass(frozen=True)
class RunCard:
    """Record of how a dataset was generated.

    Args:
        name: of the dataset.
        licence: of the result.
        licences: of what went into it, by part.
        models: part -> model.
        software: package -> version.
        seed: of all randomness.
        filter: the filter's settings.
        search: the search's settings.
        stages: counts in and out.
        pairs: kept pairs by split.
        stored_rejected: pairs that are stored, but were not kept.
        direction: mean directional similarity of the kept pairs; None without any.
        fingerprint: of the dataset; "" if no pair was stored.
        errors: the first errors of inputs that failed, by id.
        versions: part -> revision, where it is known, and digest of its weights.
    """

    name: str
    licence: str
    licences: dict[str, str]
    models: dict[str, str]
    software: dict[str, str]
    seed: int
    filter: dict[str, Any]
    search: dict[str, Any]
    stages: list[StageCount]
    pairs: dict[str, int]
    stored_rejected: int
    direction: float | None
    fingerprint: str
    errors: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Pairs that were kept."""
        return sum(self.pairs.values())

    @property
    def cost(self) -> dict[str, float | None]:
        """Denoiser calls and seconds in all, and for each pair that was kept."""
        calls = sum(stage.calls for stage in self.stages)
        seconds = sum(stage.seconds for stage in self.stages)
        return {
            "denoiser_calls": calls,
            "seconds": seconds,
            "denoiser_calls_per_kept_pair": calls / self.kept if self.kept else None,
            "seconds_per_kept_pair": seconds / self.kept if self.kept else None,
        }

    def save(self, folder: Path) -> None:
        """Write run_card.json and README.md."""
        content = {**asdict(self), "cost": self.cost}
        write_whole(folder / CARD, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
        write_whole(folder / README, self.markdown().encode())

    def summary(self) -> list[str]:
        """A line for each stage, and what it cost, for the terminal."""
        lines = []
        for name, came, went, reasons, failed in map(_count_row, self.stages):
            left_out = f"; left out: {reasons}" if reasons else ""
            lines.append(f"{name}: {came} -> {went}{left_out}{f'; failed: {failed}' if failed else ''}")
        return [*lines, self._told_cost()]

    def markdown(self) -> str:
        """The card as a page."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        listed = ", ".join(f"{count:,} {split}" for split, count in self.pairs.items()) or "none"
        yield f"# {self.name}"
        yield ""
        yield f"{self.kept:,} edit pairs ({listed}), made with `ip2p generate`."
        if self.stored_rejected:
            yield f"{self.stored_rejected:,} pairs that were not kept are stored, too, in the split `rejected`."
        yield ""
        yield "    ip2p train data=shards data.path=FOLDER"
        yield from _table(
            "What went in and out", ("stage", "in", "out", "left out", "failed"), map(_count_row, self.stages)
        )
        yield from ("", "## What it cost", "", self._told_cost())
        parts = {**self.models, **self.versions}
        rows = [(part, self.models.get(part, ""), self.versions.get(part, "")) for part in parts]
        yield from _table("What made it", ("part", "model", "version"), rows)
        yield from _table("Settings", ("setting", "value"), self._settings())
        yield from _table("Licences", ("part", "licence"), {"result": self.licence, **self.licences}.items())
        if self.errors:
            yield from _table("Errors; the next run tries these again", ("input", "error"), self.errors.items())

    def _told_cost(self) -> str:
        cost = {name: value or 0.0 for name, value in self.cost.items()}
        told = f"{cost['denoiser_calls']:,.0f} samples through the denoiser, {duration(cost['seconds'])} of processes"
        if not self.kept:
            return f"{told}."
        calls, seconds = cost["denoiser_calls_per_kept_pair"], cost["seconds_per_kept_pair"]
        return f"{told}: {calls:,.0f} and {duration(seconds)} for each pair that was kept."

    def _settings(self) -> Iterator[tuple[str, str]]:
        yield "seed", str(self.seed)
        yield from _flat(self.filter, "filter")
        yield from _flat({key: value for key, value in self.search.items() if key != "filter"}, "search")
        if self.direction is not None:
            yield "mean directional similarity", f"{self.direction:.3f}"
        yield "fingerprint", self.fingerprint
        yield from self.software.items()

    @classmethod
    def load(cls, folder: Path) -> RunCard:
        """Read run_card.json.

        Raises:
            FileNotFoundError: none there.
        """
        values = read_json(folder / CARD, "the run card", not_a_number="keep")
        values.pop("cost", None)
        return cls(**{**values, "stages": [StageCount(**stage) for stage in values["stages"]]})


def _count_row(stage: StageCount) -> tuple[str, ...]:
    ordered = sorted(stage.rejected.items(), key=lambda item: -item[1])
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in ordered)
    return (
        stage.name,
        f"{stage.inputs:,} {stage.unit_in}",
        f"{stage.outputs:,} {stage.unit_out}",
        reasons,
        f"{stage.failed:,}" if stage.failed else "",
    )


def _table(title: str, head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield from ("", f"## {title}", "", _row(head), _row(("---",) * len(head)))
    yield from map(_row, rows)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}.{key}")
        elif value is not None:
            yield f"{prefix}.{key}", str(value)
