"""Cost of a run, estimated from earlier work of the same parts: denoiser calls, device hours, disk and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.table import Table

from ip2p_lightning.formatting import NOTHING, duration
from ip2p_lightning.generation.manifest import Ledger

FEWEST = 8
"""Rates from fewer inputs are called rough."""


@dataclass(frozen=True)
class Rate:
    """Cost of one input of a stage.

    Args:
        inputs: on how many it was measured.
        seconds: of one process.
        calls: samples that go through the denoiser.
        bytes: that its record takes.
    """

    inputs: int
    seconds: float
    calls: float
    bytes: float

    @classmethod
    def of(cls, ledger: Ledger) -> Rate | None:
        """The rate at which a stage's records came about; None if there are none."""
        facts, records = ledger.facts(), ledger.records()
        if not facts.inputs or not records:
            return None
        size = sum(record.length for record in records.values())
        return cls(facts.inputs, facts.seconds / facts.inputs, facts.calls / facts.inputs, size / len(records))


@dataclass(frozen=True)
class PlannedStage:
    """A stage's share of a plan.

    Args:
        name: of the stage.
        inputs: how many it will have in all.
        left: how many of them are not done.
        rate: None if nothing was measured.
    """

    name: str
    inputs: float
    left: float
    rate: Rate | None

    @property
    def seconds(self) -> float:
        """Of one process, for what is left."""
        return self.left * self.rate.seconds if self.rate else 0.0

    @property
    def calls(self) -> float:
        """For what is left."""
        return self.left * self.rate.calls if self.rate else 0.0

    @property
    def bytes(self) -> float:
        """Of all records in the end."""
        return self.inputs * self.rate.bytes if self.rate else 0.0


@dataclass(frozen=True)
class Plan:
    """Estimated cost of a run.

    Args:
        captions: that it begins with.
        stages: in their order.
        processes: that share the work.
        device: what a process runs on, as it is called in the table.
        source: where the rates were measured.
    """

    captions: int
    stages: list[PlannedStage]
    processes: int
    device: str
    source: str

    @property
    def seconds(self) -> float:
        """Wall time of what is left, if all processes are busy to the end."""
        return sum(stage.seconds for stage in self.stages) / self.processes

    @property
    def known(self) -> bool:
        """True if anything was measured."""
        return any(stage.rate for stage in self.stages)

    @property
    def bytes(self) -> float:
        """Disk in the end: the records, and the dataset that is merged from those of the stage `pairs`."""
        return sum(stage.bytes * (2 if stage.name == "pairs" else 1) for stage in self.stages)

    def table(self) -> Table:
        """For the terminal."""
        shared = f", shared by {self.processes} processes" if self.processes > 1 else ""
        few = min((stage.rate.inputs for stage in self.stages if stage.rate), default=0)
        rough = "; rough, as that is few" if few < FEWEST else ""
        caption = (
            f"{duration(self.seconds)}{shared}; {size(self.bytes)} of disk in the end, the merged dataset included\n"
            f"rates: {self.source}{rough}"
        )
        table = Table(title=f"the plan for {self.captions:,} captions", title_justify="left")
        table.caption, table.caption_justify = caption, "left"
        for column in ("stage", "inputs", "to do", "s each", "denoiser calls", f"{self.device} hours", "records"):
            table.add_column(column, justify="left" if column == "stage" else "right", no_wrap=True)
        for stage in self.stages:
            cells = (NOTHING,) * 4
            if stage.rate:
                cells = (
                    f"{stage.rate.seconds:.2g}",
                    f"{stage.calls:,.0f}",
                    f"{stage.seconds / 3600:,.2g}",
                    size(stage.bytes),
                )
            table.add_row(stage.name, f"{stage.inputs:,.0f}", f"{stage.left:,.0f}", *cells)
        return table


def make_plan(
    captions: int, ledgers: Mapping[str, Ledger], rates: Mapping[str, Ledger], yields: Mapping[str, float],
    processes: int, device: str, source: str,
) -> Plan:  # fmt: skip
    """Carry the number of captions through the stages.

    Args:
        captions: that the run begins with.
        ledgers: what is done, by stage, in the order of the stages.
        rates: where rates are measured, by stage; the same folders, or another run's.
        yields: by stage, how many outputs an input of it gives; 1 if unknown.
        processes: that share the work.
        device: what a process runs on.
        source: where the rates are from, in words.
    """
    stages, inputs = [], float(captions)
    for name, ledger in ledgers.items():
        done = len(ledger.records())
        stages.append(PlannedStage(name, inputs, max(0.0, inputs - done), Rate.of(rates[name])))
        inputs *= yields.get(name, 1.0)
    return Plan(captions, stages, processes, device, source)


def size(bytes: float) -> str:
    """Bytes as people say them: "12 MB", "1.2 TB"."""
    return next(text for text in _sizes(bytes) if text)


def _sizes(bytes: float) -> Iterator[str]:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        yield f"{bytes / factor:,.3g} {unit}" if bytes >= factor else ""
    yield f"{bytes:,.0f} bytes"
