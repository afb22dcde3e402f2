"""From the parts of all stages to one dataset folder; every checksum is looked at on the way."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.encoded import SCORES, EncodedPair
from ip2p_lightning.data.selection import check_fractions, group_split
from ip2p_lightning.data.shards import MAX_SHARD_BYTES, ShardWriter
from ip2p_lightning.generation.base import PairScores
from ip2p_lightning.generation.filter import KEPT
from ip2p_lightning.generation.filtering import RecordedTriple
from ip2p_lightning.generation.pairs import StoredPair, TripleRecord, read_record

REJECTED = "rejected"
"""Split of the pairs that are stored, but not kept; no training asks for it."""
CANDIDATES = "candidates.parquet"
SCORE_NAMES = {
    "image": "clip_image",
    "direction": "clip_direction",
    "original_text": "text_image_original",
    "edited_text": "text_image_edited",
}
"""Fields of `PairScores` -> names of the scores in datasets, those of imported InstructPix2Pix folders."""
_GROUP = 1000  # triples whose candidates are written at once

_CANDIDATE_SCHEMA = pa.schema(
    [("triple", pa.string()), ("pair", pa.string()), ("group", pa.string()), ("kind", pa.string())]
    + [("seed", pa.int64()), ("threshold", pa.float64()), ("guidance_scale", pa.float64())]
    + [(f"score_{name}", pa.float64()) for name in SCORE_NAMES.values()]
    + [("preview", pa.bool_()), ("stored", pa.bool_()), ("reason", pa.string()), ("metadata", pa.string())]
)


@dataclass
class Merged:
    """What `merge` did.

    Args:
        info: `dataset.json` of the dataset; None if no pair was stored.
        triples: how many triples had pairs made of them.
        reasons: candidates by the reason for which they were left out; "" counts those that were kept.
        stored: pairs in the dataset.
        calls: samples that went through the denoiser.
        without: triples of which nothing was kept.
        expressive: kept pairs with an expressive instruction.
        direction: mean directional similarity of the pairs that were kept.
    """

    info: DatasetInfo | None = None
    triples: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    calls: int = 0
    without: int = 0
    expressive: int = 0
    direction: float = math.nan


def merge(
    folder: Path,
    triples: list[RecordedTriple],
    reasons: Mapping[str, list[str]],
    expressive: Mapping[str, str],
    *,
    splits: Mapping[str, float],
    name: str,
    licence: str,
    provenance: Mapping[str, Any],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    advance: Callable[[int], None] | None = None,
) -> Merged:
    """Write the dataset folder: stored pairs in shards, every candidate in `candidates.parquet`.

    Equal records give equal bytes, however they were shared out among processes and runs. An older dataset at the
    place stays until the new one is complete.

    Args:
        folder: the dataset folder to make.
        triples: where the pairs are, sorted by id.
        reasons: the filter's verdicts; those of the time when the pairs were made for triples that it lacks.
        expressive: expressive instruction by id of the pair.
        splits: split name -> share of the groups.
        name: of the dataset.
        licence: of the pairs.
        provenance: how they were made, for `dataset.json`.
        max_shard_bytes: size at which a shard is closed.
        advance: called with 1 for each triple.

    Raises:
        ManifestError: a damaged part.
        ValueError: verdicts that do not belong to the pairs.
    """
    check_fractions(splits)
    merged, directions = Merged(), []
    hidden = folder.parent / f".{CANDIDATES}.part"
    folder.parent.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(
        folder, name=name, licence=licence, provenance=provenance, max_shard_bytes=max_shard_bytes, overwrite=True
    )
    try:
        with pq.ParquetWriter(hidden, _CANDIDATE_SCHEMA, compression="zstd") as table:
            for rows in _grouped(_rows(writer, triples, reasons, expressive, splits, merged, directions, advance)):
                table.write_table(pa.Table.from_pylist(rows, _CANDIDATE_SCHEMA))
        if merged.stored:
            merged.info = writer.close()
            os.replace(hidden, folder / CANDIDATES)
        else:
            writer.abort()
            os.replace(hidden, folder.parent / CANDIDATES)
    except BaseException:
        writer.abort()
        hidden.unlink(missing_ok=True)
        raise
    if directions:
        merged.direction = sum(directions) / len(directions)
    return merged


def pair_id(triple: str, number: int) -> str:
    """Id of a pair: its triple and its number among the candidates."""
    return f"{triple}/{number}"


def _rows(
    writer: ShardWriter,
    triples: list[RecordedTriple],
    reasons: Mapping[str, list[str]],
    expressive: Mapping[str, str],
    splits: Mapping[str, float],
    merged: Merged,
    directions: list[float],
    advance: Callable[[int], None] | None,
) -> Iterator[dict[str, Any]]:
    """Add the stored pairs to the dataset, and yield a row for each candidate."""
    for entry in triples:
        record = read_record(entry.record.read())
        verdicts = reasons.get(entry.id, [pair.reason for pair in record.pairs])
        if len(verdicts) != len(record.pairs):
            raise ValueError(
                f"the filter judged {len(verdicts)} pairs of {entry.id!r}, but {len(record.pairs)} were made; remove "
                "the filter's folder and run stages=[filter] again"
            )
        merged.triples += 1
        merged.calls += record.calls
        merged.reasons.update(verdicts)
        merged.without += KEPT not in verdicts
        split = group_split(record.triple.group or record.triple.id, splits)
        for number, (pair, reason) in enumerate(zip(record.pairs, verdicts, strict=True)):
            id = pair_id(entry.id, number)
            if pair.pictures is not None:
                merged.stored += 1
                encoded = _encoded(id, record, pair, reason, expressive.get(id, ""))
                writer.add(encoded, split if reason == KEPT else REJECTED)
            merged.expressive += reason == KEPT and bool(expressive.get(id))
            if reason == KEPT and pair.scores is not None:
                directions.append(pair.scores.direction)
            yield _candidate(id, record, pair, reason)
        if advance is not None:
            advance(1)


def _encoded(id: str, record: TripleRecord, pair: StoredPair, reason: str, expressive: str) -> EncodedPair:
    triple, candidate = record.triple, pair.candidate
    assert pair.pictures is not None
    metadata = {
        **triple.metadata,
        **pair.metadata,
        SCORES: _scores(pair.scores),
        "seed": candidate.seed,
        "threshold": candidate.share,
        "guidance_scale": candidate.guidance_scale,
    }
    if triple.url:
        metadata["url"] = triple.url
    if reason != KEPT:
        metadata["rejected"] = reason
    return EncodedPair(
        id=id,
        original_image=pair.pictures[0],
        edited_image=pair.pictures[1],
        instruction=triple.instruction,
        expressive_instruction=expressive,
        original_caption=triple.original_caption,
        edited_caption=triple.edited_caption,
        kind=triple.kind,
        group=triple.group or triple.id,
        metadata=metadata,
    )


def _candidate(id: str, record: TripleRecord, pair: StoredPair, reason: str) -> dict[str, Any]:
    scores = _scores(pair.scores)
    return {
        "triple": record.triple.id,
        "pair": id,
        "group": record.triple.group or record.triple.id,
        "kind": record.triple.kind,
        "seed": pair.candidate.seed,
        "threshold": pair.candidate.share,
        "guidance_scale": pair.candidate.guidance_scale,
        **{f"score_{name}": scores.get(name) for name in SCORE_NAMES.values()},
        "preview": pair.preview,
        "stored": pair.pictures is not None,
        "reason": reason,
        "metadata": json.dumps(pair.metadata),
    }


def _scores(scores: PairScores | None) -> dict[str, float]:
    """The scores under their names in datasets, without those that are no numbers."""
    values = asdict(scores) if scores is not None else {}
    return {SCORE_NAMES[name]: value for name, value in values.items() if math.isfinite(value)}


def _grouped(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _GROUP:
            yield batch
            batch = []
    if batch:
        yield batch
