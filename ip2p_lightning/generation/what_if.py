"""Effect of other thresholds, determined from stored scores, with images at each threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from rich.table import Table
from torch import Tensor

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.dataset_info import INDEX_NAME, SCORE_PREFIX, DatasetInfo
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.generation.base import Candidate, Draw
from ip2p_lightning.generation.duplicates import HashedDuplicates
from ip2p_lightning.generation.filter import DUPLICATE, KEPT, UNSAFE, Thresholds
from ip2p_lightning.generation.merge import CANDIDATES
from ip2p_lightning.generation.pairs import SCORE_NAMES
from ip2p_lightning.generation.run_card import CARD

_HASHED = f"{HashedDuplicates.__module__}.{HashedDuplicates.__qualname__}"
_ANYHOW = Draw(0, 0.0, 0.0)
_FIELDS = {"clip_image": "image", "clip_direction": "direction"}
_BEST = "clip_direction"
MOST_COMPARED = 10_000
"""Pairs whose images are decoded to look for duplicates: minutes at 512 pixels."""


@dataclass(frozen=True)
class Outcome:
    """Pairs that thresholds would keep.

    Args:
        pairs: how many.
        triples: of how many triples.
        direction: their mean directional similarity; NaN without pairs.
    """

    pairs: int
    triples: int
    direction: float


class WhatIf:
    """The scored candidates of a dataset.

    It agrees with the filter: pairs without images and unsafe ones stay out, one pair of a seed comes in, and a pair
    that is like a better one comes in where the better one falls out. For that images are compared, if no more than
    `MOST_COMPARED` pairs pass; of larger datasets, those that the filter found to be like a better one stay out.

    Args:
        path: a dataset folder; that of `ip2p generate` knows every candidate, any other the pairs that it holds.
        thresholds: score -> least value to begin from; those of the run card, or else the paper's.
        keep: pairs kept of a triple, best direction first; that of the run card, or else all.

    Raises:
        FileNotFoundError: no dataset there.
        ValueError: a dataset without scores, or a threshold for a score that it lacks.
    """

    def __init__(
        self, path: str | Path, thresholds: Mapping[str, float] | None = None, keep: int | None = None
    ) -> None:
        self.path = Path(path)
        DatasetInfo.load(self.path)
        table = self._table()
        self.scores = {
            name.removeprefix(SCORE_PREFIX): table.column(name).to_numpy().astype(np.float64)
            for name in table.column_names
            if name.startswith(SCORE_PREFIX)
        }
        if not self.scores:
            raise ValueError(f"{path} holds no scores; `ip2p generate` and imports of InstructPix2Pix's folders do")
        if unknown := sorted(set(thresholds or {}) - set(self.scores)):
            raise ValueError(f"thresholds: {path} has no score {unknown}; it has {', '.join(sorted(self.scores))}")
        before, kept, self._finder = self._settings()
        self.thresholds = {name: (before | dict(thresholds or {})).get(name, -1.0) for name in self.scores}
        self.keep = keep or kept
        self.ids = np.array(table.column("pair").to_pylist(), dtype=object)
        self.stored = table.column("stored").to_numpy()
        self._open = table.column("open").to_numpy()
        self._twin = np.array(table.column("reason").to_pylist(), dtype=object) == DUPLICATE
        self._hashes: dict[int, Tensor] = {}
        self._triple = table.column("triple").dictionary_encode().combine_chunks().indices.to_numpy()
        self._seed = table.column("seed").to_numpy().astype(np.float64)

    def keeps(self, thresholds: Mapping[str, float]) -> np.ndarray:
        """True for the candidates that would be kept, bool [candidates].

        Args:
            thresholds: score -> least value.
        """
        passed = self._open.copy()
        for name, least in thresholds.items():
            passed &= self.scores[name] >= least  # false for missing scores
        rows = np.flatnonzero(passed)
        direction = self.scores.get(_BEST, np.zeros(len(passed)))[rows]
        rows = rows[np.lexsort((rows, -direction, self._triple[rows]))]  # best first within a triple
        rows = self._without_twins(rows)
        if self.keep is not None:
            seeds = np.where(np.isnan(self._seed[rows]), -1.0 - rows, self._seed[rows])
            _, first = np.unique(np.stack([self._triple[rows], seeds]), axis=1, return_index=True)
            rows = rows[np.sort(first)]  # one a seed
            _, begin, counts = np.unique(self._triple[rows], return_index=True, return_counts=True)
            rows = rows[np.arange(len(rows)) - np.repeat(begin, counts) < self.keep]
        kept = np.zeros(len(passed), dtype=bool)
        kept[rows] = True
        return kept

    def _without_twins(self, rows: np.ndarray) -> np.ndarray:
        """The rows, sorted by triple and best first, without those whose images are like an earlier one's."""
        if self._finder is None or len(rows) > MOST_COMPARED:
            return rows if self._finder is None else rows[~self._twin[rows]]
        self._hash(rows)
        _, begin = np.unique(self._triple[rows], return_index=True)
        alike: list[bool] = []
        for group in np.split(rows, begin[1:]) if len(rows) else ():
            alike += self._finder.alike(torch.stack([self._hashes[row] for row in group.tolist()]))
        return rows[~np.array(alike, dtype=bool)]

    def _hash(self, rows: np.ndarray) -> None:
        """Hash the images of those that were not looked at yet."""
        assert self._finder is not None
        new = [row for row in rows.tolist() if row not in self._hashes]
        dataset = ShardDataset(self.path) if new else None
        for row in new if dataset else ():
            pair = dataset[self._places[self.ids[row]]]  # type: ignore[index]
            made = Candidate(_ANYHOW, to_tensor(pair.original_image), to_tensor(pair.edited_image))  # type: ignore[arg-type]
            self._hashes[row] = self._finder.hashes([made])[0]

    @cached_property
    def _places(self) -> dict[str, int]:
        """Row of each stored pair in the dataset."""
        return {id: place for place, id in enumerate(ShardDataset(self.path).column("id"))}

    def outcome(self, thresholds: Mapping[str, float]) -> Outcome:
        """Count what thresholds would keep."""
        kept = self.keeps(thresholds)
        direction = self.scores.get(_BEST, np.full(len(kept), np.nan))[kept]
        return Outcome(
            int(kept.sum()),
            len(np.unique(self._triple[kept])),
            float(direction.mean()) if len(direction) else float("nan"),
        )

    def steps(self, score: str, step: float, count: int = 3) -> list[float]:
        """Values of one threshold on both sides of where it is."""
        return [round(self.thresholds[score] + step * number, 6) for number in range(-count, count + 1)]

    def table(self, step: float) -> Table:
        """For the terminal: each threshold moved by itself, the others where they are."""
        limit = f", at most {self.keep} of a triple" if self.keep else ""
        table = Table(title=f"{self.path}: {len(self.ids):,} candidates{limit}", title_justify="left")
        for column in ("score", "at least", "pairs", "triples", "mean direction"):
            table.add_column(column, justify="left" if column == "score" else "right", no_wrap=True)
        for score in self.thresholds:
            for value in self.steps(score, step):
                now = value == self.thresholds[score]
                found = self.outcome({**self.thresholds, score: value})
                cells = f"{value:.3f}", f"{found.pairs:,}", f"{found.triples:,}", f"{found.direction:.3f}"
                table.add_row(score, *cells, style="bold" if now else "")
            table.add_section()
        return table

    def pairs_at(self, score: str, value: float, count: int) -> list[EditPair]:
        """Stored pairs whose score is nearest to a value, lowest first, with the score for their kind."""
        rows = np.flatnonzero(self.stored & np.isfinite(self.scores[score]))
        near = rows[np.argsort(np.abs(self.scores[score][rows] - value), kind="stable")[:count]]
        near = near[np.argsort(self.scores[score][near], kind="stable")]
        dataset = ShardDataset(self.path)
        kept = self.keeps(self.thresholds)
        return [
            replace(
                dataset[self._places[str(self.ids[row])]],
                kind=f"{score} {self.scores[score][row]:.3f}, {'kept' if kept[row] else 'not kept'}",
            )
            for row in near
        ]

    def sheet(self, score: str, step: float, columns: int, side: int) -> Image.Image:
        """A contact sheet: a row for each threshold of one score, with the pairs that are nearest to it.

        Raises:
            ValueError: an unknown score, or no stored image.
        """
        if score not in self.scores:
            raise ValueError(f"score={score}: {self.path} has {', '.join(sorted(self.scores))}")
        rows = [self.pairs_at(score, value, columns) for value in self.steps(score, step)]
        if not rows[0]:
            raise ValueError(f"{self.path} holds no image of a pair with {score}; store some with store_rejected=0.1")
        values = ", ".join(f"{value:g}" for value in self.steps(score, step))
        return contact_sheet(
            [pair for row in rows for pair in row],
            title=f"{score} of {values}: a row each",
            columns=len(rows[0]),
            side=side,
        )

    def _table(self) -> pa.Table:
        """The candidates: pair, triple, seed, reason, stored, open (to other thresholds) and scores."""
        if (self.path / CANDIDATES).is_file():
            table = pq.read_table(self.path / CANDIDATES)
            rows = zip(*(table.column(name).to_pylist() for name in ("preview", "stored", "reason")), strict=True)
            open_ = [stored and not preview and reason != UNSAFE for preview, stored, reason in rows]
            return table.append_column("open", pa.array(open_, pa.bool_()))
        index = pq.read_table(self.path / INDEX_NAME)
        scores = [name for name in index.column_names if name.startswith(SCORE_PREFIX)]
        yes = pa.array(np.ones(index.num_rows, dtype=bool))
        columns = {"pair": index.column("id"), "triple": index.column("group"), "seed": index.column("seed")}
        columns |= {"stored": yes, "open": yes, "reason": pa.array([KEPT] * index.num_rows)}
        return pa.table({**columns, **{name: index.column(name) for name in scores}})

    def _settings(self) -> tuple[dict[str, float], int | None, HashedDuplicates | None]:
        """Thresholds, number of pairs and finder of duplicates that the run card tells."""
        values = Thresholds()
        keep = finder = None
        if (self.path / CARD).is_file():
            told = read_json(self.path / CARD, "the run card", not_a_number="keep")["filter"]
            limits = told.get("thresholds") or {}
            values = Thresholds(**{name: value for name, value in limits.items() if not name.startswith("_")})
            keep = told.get("keep", 4)
            if (telling := told.get("duplicates")) and telling.get("_target_") == _HASHED:
                finder = HashedDuplicates(telling["distance"])
        fields = {name: _FIELDS.get(name, "text") for name in SCORE_NAMES.values()}
        return {name: float(getattr(values, field)) for name, field in fields.items()}, keep, finder
