"""A shipped model's card: what made it, what it measures, what it cannot do; for programs and for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from ip2p_lightning import __version__
from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.models.folder_files import WeightsError, read_settings
from ip2p_lightning.shipped import CARD
from ip2p_lightning.zoo.registry import entry

_BATCH = 50


@dataclass(frozen=True)
class Card:
    """Facts about a shipped model.

    Args:
        name: of the model.
        steps: optimizer steps of its training.
        seed: of its training.
        batch_size: training pairs in a batch.
        data: the settings of each source of training pairs.
        fingerprint: of the training pairs.
        hours: wall time of the training; None if not recorded.
        machine: what it was trained on; "" if not recorded.
        measured_on: what the figures were taken on: level, split, count.
        figures: name -> estimate, low, high (95 %) and n.
        version: of the package that packed it.
    """

    name: str
    steps: int
    seed: int
    batch_size: int
    data: list[dict[str, Any]]
    fingerprint: str
    hours: float | None
    machine: str
    measured_on: dict[str, Any]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    version: str = __version__

    def save(self, folder: Path) -> None:
        """Write card.json and README.md."""
        (folder / CARD).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(self.markdown(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Card:
        """Read a folder's card.json.

        Raises:
            WeightsError: no card, or one of other entries.
        """
        values = read_settings(folder / CARD)
        known = {entry.name: entry for entry in fields(cls)}
        wrong = sorted(values.keys() ^ known.keys())
        wrong += [name for name in ("data", "measured_on", "figures") if not isinstance(values.get(name), dict | list)]
        figures = values.get("figures")
        wrong += (
            [name for name, figure in figures.items() if not _is_figure(figure)] if isinstance(figures, dict) else []
        )
        if wrong:
            raise WeightsError(f"{folder / CARD} is no card of a model: see {', '.join(wrong[:3])}; copy it again")
        return cls(**values)

    def markdown(self) -> str:
        """The text of README.md."""
        model, on = entry(self.name), self.measured_on
        hours = "not recorded" if self.hours is None else f"{self.hours:.2f}"
        recipe = {
            "made by": f"`ip2p train experiment={model.EXPERIMENT} seed={self.seed}`",
            "optimizer steps": f"{self.steps:,} of {self.batch_size} pairs",
            "training pairs": "; ".join(_described(source) for source in self.data),
            "fingerprint of the pairs": f"`{self.fingerprint}`",
            "hours": hours,
            "machine": self.machine or "not recorded",
            "packed by": f"ip2p-lightning {self.version}",
        }
        figures = [f"| {name} | {_number(f)} | {f['n']:,} |" for name, f in self.figures.items()]
        return "\n".join(
            [
                "---", "license: apache-2.0", "tags: [ip2p-lightning]", "---", "",
                f"# {self.name}", "", f"{model.SUMMARY[0].upper()}{model.SUMMARY[1:]}.", "",
                "```python", "from ip2p_lightning.zoo import load", "", f'model = load("{self.name}")', "```", "",
                "## Recipe", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in recipe.items()), "",
                "## Figures", "",
                f"On {on['count']} {on['split']} pairs of the level {on['level']}, with 95 % bootstrap intervals; "
                f"`ip2p zoo evaluate name={self.name}` prints them again.", "",
                "| figure | value | n |", "|---|---|---|", *figures, "",
                "## Limits", "", *(f"- {limit}" for limit in model.LIMITS), "",
            ]
        )  # fmt: skip


def batches(pairs: PairSource) -> Iterator[PairBatch]:
    """The pairs in order, in batches; their images are squares of one size."""
    size = pairs[0].original_image.width  # type: ignore[union-attr]
    transformed = TransformedPairs(pairs, PairTransform(size, flip=0.0))
    yield from DataLoader(transformed, batch_size=_BATCH, collate_fn=PairBatch.collate)


def plain_figures(figures: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """Intervals as a card holds them."""
    return {
        name: {"estimate": interval.estimate, "low": interval.low, "high": interval.high, "n": interval.values}
        for name, interval in figures.items()
    }


def _described(source: Mapping[str, Any]) -> str:
    """A source's settings on one line; null ones say nothing."""
    kind = str(source["_target_"]).rsplit(".", 1)[-1]
    return f"{kind}({', '.join(f'{key}={value}' for key, value in source.items() if key != '_target_')})"


def _is_figure(value: Any) -> bool:
    wanted = ("estimate", "low", "high", "n")
    return isinstance(value, dict) and all(isinstance(value.get(name), int | float) for name in wanted)


def _number(figure: Mapping[str, float]) -> str:
    return f"{figure['estimate']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
