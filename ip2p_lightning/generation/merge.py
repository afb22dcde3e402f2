"""From the parts of all stages to one dataset folder; every checksum is looked at on the way.

Images are copied from the parts of the stage `pairs` into shards in the order of ids. The parts cannot be the shards:
how they are cut depends on batches, ranks and runs, and the JSON of a pair holds its expressive instruction, which a
later stage writes. Another filter rewrites the index alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ip2p_lightning.data.dataset_info import (
    INDEX_NAME,
    INFO_NAME,
    DatasetError,
    DatasetInfo,
    FileInfo,
    file_sha256,
)
from ip2p_lightning.data.encoded import SCORES, EncodedPair
from ip2p_lightning.data.selection import REJECTED, check_fractions, group_split
from ip2p_lightning.data.shards import MAX_SHARD_BYTES, ShardWriter
from ip2p_lightning.files import take_name
from ip2p_lightning.generation.filter import KEPT, UNSAFE
from ip2p_lightning.generation.manifest import write_whole
from ip2p_lightning.generation.pairs import CANDIDATE_SCHEMA, SCORE_NAMES, Made, Row, scores_of

CANDIDATES = "candidates.parquet"
_GROUP = 10_000  # candidates that are written at once


@dataclass
class Merged:
    """Result of `merge`.

    Args:
        info: `dataset.json` of the dataset; None if no pair was stored.
        triples: how many triples the maker was given.
        refused: those of which it can make nothing, by reason.
        reasons: candidates by the reason for which they were left out; "" counts those that were kept.
        stored: pairs in the dataset.
        calls: samples that went through the denoiser.
        without: triples of which nothing was kept.
        expressive: kept pairs with an expressive instruction.
        direction: sum of the directional similarities of the pairs that were kept.
    """

    info: DatasetInfo | None = None
    triples: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    calls: int = 0
    without: int = 0
    expressive: int = 0
    direction: float = 0.0


def merge(
    folder: Path,
    triples: list[Made],
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
    place stays until the new one is complete; where it holds the same pairs and texts, its shards stay for good, and
    the filter's verdicts change the index alone.

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
    told = {**provenance, "content": _content(triples, reasons, expressive, splits)}
    shards_stay = _provenance(folder).get("content") == told["content"]
    merged, kept = Merged(), set()
    fresh = folder.with_name(f".{folder.name}.new")
    building = folder if shards_stay else fresh
    folder.parent.mkdir(parents=True, exist_ok=True)
    table = folder.with_name(f".{CANDIDATES}.part")
    options: dict[str, Any] = {"name": name, "licence": licence, "max_shard_bytes": max_shard_bytes}
    with _shards(fresh, not shards_stay, provenance=told, **options) as writer:
        rows = _rows(writer, triples, reasons, expressive, splits, merged, kept, advance)
        _write_candidates(table, rows)
        if writer is not None and merged.stored:
            writer.close()
    if not merged.stored:
        shutil.rmtree(folder, ignore_errors=True)
        take_name(table, folder.with_name(CANDIDATES))
        return merged
    merged.info = _mark(building, kept, splits, told)
    take_name(table, building / CANDIDATES)
    if building != folder:
        _move(building, folder)
    return merged


def _rows(
    writer: ShardWriter | None,
    triples: list[Made],
    reasons: Mapping[str, list[str]],
    expressive: Mapping[str, str],
    splits: Mapping[str, float],
    merged: Merged,
    kept: set[str],
    advance: Callable[[int], None] | None,
) -> Iterator[dict[str, Any]]:
    """Add the stored pairs to the dataset, if it is written, and yield a row for each candidate."""
    for made in triples:
        rows = made.rows
        verdicts = reasons.get(made.id, [row["reason"] for row in rows])
        if len(verdicts) != len(rows):
            raise ValueError(
                f"the filter judged {len(verdicts)} pairs of {made.id!r}, but {len(rows)} were made; remove "
                "the filter's folder and run stages=[filter] again"
            )
        merged.triples += 1
        merged.refused.update([made.refused] if made.refused else [])
        merged.calls += made.calls
        merged.reasons.update(verdicts)
        merged.without += KEPT not in verdicts
        split = group_split(made.triple.group or made.triple.id, splits)
        for row, reason in zip(rows, verdicts, strict=True):
            id, stored = row["pair"], row["stored"] and reason != UNSAFE  # by a safety filter that was not asked before
            if stored:
                merged.stored += 1
                if writer is not None:
                    writer.add(_encoded(made, row, expressive.get(id, "")), split)
            if reason == KEPT:
                kept.add(id)
                merged.expressive += bool(expressive.get(id))
                merged.direction += scores.direction if (scores := scores_of(row)) is not None else 0.0
            columns = {name: row[name] for name in CANDIDATE_SCHEMA.names}
            yield columns | {f"score_{name}": score for name, score in _scores(row).items()} | {
                "stored": stored, "reason": reason
            }  # fmt: skip
        if advance is not None:
            advance(1)


def _mark(folder: Path, kept: set[str], splits: Mapping[str, float], provenance: Mapping[str, Any]) -> DatasetInfo:
    """Give every pair of the index its split: that of its group, or `REJECTED` if it is not kept."""
    info, index = DatasetInfo.load(folder), folder / INDEX_NAME
    table = pq.read_table(index)
    chosen = [
        group_split(group, splits) if id in kept else REJECTED
        for id, group in zip(table.column("id").to_pylist(), table.column("group").to_pylist(), strict=True)
    ]
    place = table.column_names.index("split")
    parts = folder / f".{INDEX_NAME}.part", folder / f".{INFO_NAME}.new"
    try:  # both are on the disk before either takes its name, as they must agree
        pq.write_table(table.set_column(place, "split", pa.array(chosen, pa.string())), parts[0], compression="zstd")
        file = FileInfo(INDEX_NAME, parts[0].stat().st_size, file_sha256(parts[0]), info.pairs)
        marked = replace(info, splits=dict(sorted(Counter(chosen).items())), index=file, provenance=dict(provenance))
        write_whole(parts[1], (json.dumps(asdict(marked), indent=2, ensure_ascii=False) + "\n").encode())
    except BaseException:
        for part in parts:
            part.unlink(missing_ok=True)
        raise
    take_name(parts[0], index)
    take_name(parts[1], folder / INFO_NAME)
    return marked


def _content(
    triples: list[Made],
    reasons: Mapping[str, list[str]],
    expressive: Mapping[str, str],
    splits: Mapping[str, float],
) -> str:
    """All that decides about the bytes of the shards."""
    digest = hashlib.sha256(json.dumps(dict(splits), sort_keys=True).encode())
    for entry in triples:
        digest.update(f"{entry.id}\0{entry.digest}\n".encode())
        unsafe = [number for number, reason in enumerate(reasons.get(entry.id, ())) if reason == UNSAFE]
        digest.update(f"{unsafe}\n".encode() if unsafe else b"")
    for id, text in sorted(expressive.items()):
        digest.update(f"{id}\0{text}\n".encode())
    return digest.hexdigest()


def _provenance(folder: Path) -> dict[str, Any]:
    """That of the dataset that is there; {} if there is none, or a damaged one."""
    try:
        info = DatasetInfo.load(folder)
    except (FileNotFoundError, DatasetError):
        return {}
    sizes = {shard.name: shard.size for shard in info.shards}
    whole = all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())
    return info.provenance if whole and (folder / INDEX_NAME).is_file() else {}


def _move(building: Path, folder: Path) -> None:
    """Put a finished dataset in the place of an older one."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    building.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _shards(fresh: Path, wanted: bool, **options: Any) -> Iterator[ShardWriter | None]:
    """A writer of shards into a folder, if one is wanted; what killed merges left there goes first.

    One run at a time holds the folder, so no other process works on what is removed.
    """
    shutil.rmtree(fresh, ignore_errors=True)
    _remove_unfinished(fresh)
    writer = ShardWriter(fresh, **options) if wanted else None
    try:
        yield writer
    finally:
        if writer is not None:
            writer.abort()
            _remove_unfinished(fresh)


def _remove_unfinished(fresh: Path) -> None:
    for folder in fresh.parent.glob(f".{fresh.name}.*"):
        shutil.rmtree(folder, ignore_errors=True)


def _write_candidates(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    try:
        with pq.ParquetWriter(path, CANDIDATE_SCHEMA, compression="zstd") as table:
            for group in iter(lambda: list(islice(rows, _GROUP)), []):
                table.write_table(pa.Table.from_pylist(group, CANDIDATE_SCHEMA))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _encoded(made: Made, row: Row, expressive: str) -> EncodedPair:
    """A stored candidate as a pair of a dataset."""
    triple = made.triple
    metadata = {
        **triple.metadata,
        **json.loads(row["metadata"]),
        SCORES: {name: score for name, score in _scores(row).items() if score is not None},
        "seed": row["seed"],
        "threshold": row["threshold"],
        "text_scale": row["text_scale"],
    }
    if triple.url:
        metadata["url"] = triple.url
    return EncodedPair(
        id=row["pair"],
        original_image=made.image(row, "original"),
        edited_image=made.image(row, "edited"),
        instruction=triple.instruction,
        expressive_instruction=expressive,
        original_caption=triple.original_caption,
        edited_caption=triple.edited_caption,
        kind=triple.kind,
        group=triple.group or triple.id,
        metadata=metadata,
    )


def _scores(row: Row) -> dict[str, float | None]:
    """The scores of a row under their names in datasets; None for those that are no numbers."""
    scores = {name: row[f"score_{name}"] for name in SCORE_NAMES.values()}
    return {name: score if score is not None and math.isfinite(score) else None for name, score in scores.items()}
