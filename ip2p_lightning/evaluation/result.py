"""Result of an evaluation: a row for each edit, some edits with their images, and where all of it comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.csv_table import write_csv
from ip2p_lightning.data.images import open_image
from ip2p_lightning.evaluation.figures import (
    Figure,
    IntervalSettings,
    MetricInfo,
    figures_by,
    figures_by_kind,
    main_metric,
    table_figures,
)
from ip2p_lightning.evaluation.metric_names import current_name, current_names

PICTURES = ("original", "edited", "truth")
_TEXTS = ("pair", "kind", "instruction", "expressive_instruction", "written_instruction")


@dataclass(frozen=True)
class Example:
    """One edit with its images.

    Args:
        pair: id of the pair.
        kind: kind of edit.
        seed: of the sampling.
        instruction: the brief command.
        expressive_instruction: the true one; "" if unknown.
        written_instruction: the one the model wrote; "" if it writes none.
        original: PIL RGB, before.
        edited: PIL RGB, what the editor made.
        truth: PIL RGB, the true result.
        values: metric name -> value of this edit, without those that do not apply.
    """

    pair: str
    kind: str
    seed: int
    instruction: str
    expressive_instruction: str
    written_instruction: str
    original: Image.Image
    edited: Image.Image
    truth: Image.Image
    values: dict[str, float] = field(default_factory=dict)

    @property
    def text_exact(self) -> bool | None:
        """True if the written expressive instruction is exactly the true one; None if there is none to compare."""
        if not (self.written_instruction and self.expressive_instruction):
            return None
        return self.written_instruction == self.expressive_instruction


@dataclass
class EvaluationResult:
    """An editor on a set of pairs, compared with copying the input.

    Args:
        name: of the set, as tables and the report call it ("held-out scenes").
        rows: a row for each pair and seed: pair, group, kind, probe, seed, instruction, expressive_instruction,
            written_instruction, text_exact, the metrics, `copying_<metric>` for those of copying the input, and
            `truth_<metric>` for those of the true images where these are not perfect.
        metrics: what the metric columns mean.
        examples: edits of pairs drawn at random before anything was edited.
        worst: the edits that stand worst to copying.
        by_kind: "random", "best" and "worst" -> one edit of each kind; best and worst compared with copying.
        provenance: where the figures come from (checkpoint, editor and sampler settings, data, seeds), JSON values.
        intervals: how the intervals are made.
    """

    name: str
    rows: pa.Table
    metrics: dict[str, MetricInfo]
    examples: list[Example] = field(default_factory=list)
    worst: list[Example] = field(default_factory=list)
    by_kind: dict[str, list[Example]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    intervals: IntervalSettings = field(default_factory=IntervalSettings)

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Metric -> figure over all rows."""
        return table_figures(self.rows, self.metrics, self.intervals)

    @property
    def main(self) -> str | None:
        """Column of the metric that leads tables and the page, see `main_metric`; None if there is none."""
        return main_metric({name: self.metrics[name] for name in self.figures})

    @cached_property
    def kinds(self) -> dict[str, dict[str, Figure]]:
        """Kind of edit -> metric -> figure."""
        return figures_by_kind(self.rows, self.metrics, self.intervals)

    @cached_property
    def probes(self) -> dict[str, dict[str, Figure]]:
        """Probe of a benchmark -> metric -> figure; empty where pairs belong to none.

        A probe called "counting: more" counts for "counting", too.
        """
        if "probe" not in self.rows.column_names:
            return {}
        sets = [name.partition(": ")[0] for name in self.rows.column("probe").to_pylist()]
        rows = self.rows.append_column("set", pa.array(sets, pa.string()))
        parts = (figures_by(column, rows, self.metrics, self.intervals) for column in ("set", "probe"))
        return dict(sorted((item for part in parts for item in part.items()), key=lambda item: item[0]))

    @property
    def pairs(self) -> int:
        """Number of pairs (not of rows: a pair has a row for each seed)."""
        return len(set(self.rows.column("pair").to_pylist()))

    @property
    def groups(self) -> int:
        """Number of scenes or photographs that the pairs were made from."""
        return len(set(self.rows.column("group").to_pylist()))

    def summary(self) -> dict[str, Any]:
        """All figures with intervals and their provenance, as JSON values."""
        return {
            "name": self.name,
            "pairs": self.pairs,
            "groups": self.groups,
            "rows": self.rows.num_rows,
            "provenance": self.provenance,
            "intervals": asdict(self.intervals),
            "metrics": {name: asdict(info) for name, info in self.metrics.items()},
            "figures": {name: figure.plain() for name, figure in self.figures.items()},
            "kinds": _plain(self.kinds),
            "probes": _plain(self.probes),
        }

    def save(self, folder: str | Path) -> Path:
        """Write `rows.parquet`, `rows.csv`, `summary.json` and `pictures/`; returns the folder."""
        folder = Path(folder)
        pictures = folder / "pictures"
        pictures.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.rows, folder / "rows.parquet", compression="zstd")
        write_csv(self.rows, folder / "rows.csv")
        kept: dict[str, Any] = {
            name: _save_examples(getattr(self, name), pictures, name) for name in ("examples", "worst")
        }
        kept["by_kind"] = {name: _save_examples(some, pictures, f"kind-{name}") for name, some in self.by_kind.items()}
        text = json.dumps(self.summary() | kept, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> EvaluationResult:
        """Read back what `save` wrote; metrics of older results have today's names, see `metric_names`.

        Raises:
            FileNotFoundError: no evaluation in the folder.
        """
        folder = Path(folder)
        file = folder / "summary.json"
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist: {folder} holds no evaluation; make one with ip2p evaluate")
        summary = read_json(file, "an evaluation's summary", not_a_number="keep")
        try:
            return cls._of(summary, folder)
        except (KeyError, TypeError, AttributeError, OSError, pa.ArrowException) as error:
            raise ValueError(
                f"{folder} holds no whole evaluation ({type(error).__name__}: {str(error)[:200]}); evaluate again"
            ) from error

    @classmethod
    def _of(cls, summary: dict[str, Any], folder: Path) -> EvaluationResult:
        rows = pq.read_table(folder / "rows.parquet")
        provenance = dict(summary["provenance"])
        if isinstance(provenance.get("metrics"), dict):
            provenance["metrics"] = current_names(provenance["metrics"])
        return cls(
            name=summary["name"],
            rows=rows.rename_columns([current_name(name) for name in rows.column_names]),
            metrics=current_names({name: MetricInfo(**info) for name, info in summary["metrics"].items()}),
            examples=_load_examples(summary["examples"], folder / "pictures"),
            worst=_load_examples(summary["worst"], folder / "pictures"),
            by_kind={
                name: _load_examples(some, folder / "pictures") for name, some in summary.get("by_kind", {}).items()
            },
            provenance=provenance,
            intervals=IntervalSettings(**summary["intervals"]),
        )


def _plain(parts: dict[str, dict[str, Figure]]) -> dict[str, dict[str, Any]]:
    return {part: {name: figure.plain() for name, figure in figures.items()} for part, figures in parts.items()}


def _save_examples(examples: Sequence[Example], folder: Path, prefix: str) -> list[dict[str, Any]]:
    entries = []
    for number, example in enumerate(examples):
        stem = f"{prefix}-{number:03d}"
        for name in PICTURES:
            getattr(example, name).save(folder / f"{stem}-{name}.png")
        texts = {name: getattr(example, name) for name in _TEXTS}
        entries.append({"pictures": stem, "seed": example.seed, **texts, "values": example.values})
    return entries


def _load_examples(entries: Sequence[dict[str, Any]], folder: Path) -> list[Example]:
    examples = []
    for entry in entries:
        stem = Path(entry["pictures"]).name  # never a path out of the folder
        original, edited, truth = (open_image(folder / f"{stem}-{name}.png") for name in PICTURES)
        texts = {name: str(entry[name]) for name in _TEXTS}
        examples.append(
            Example(
                seed=entry["seed"],
                original=original,
                edited=edited,
                truth=truth,
                values=current_names(entry["values"]),
                **texts,
            )
        )
    return examples
