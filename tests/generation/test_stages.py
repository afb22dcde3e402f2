"""Stages lose nothing: failures stay with their input, broken pictures are counted, thresholds choose from scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from generation.pairs_factory import LONGER, STEPS, TRIPLE, tiny_pipeline
from generation.stages_factory import SPLITS, Broken, make, merged, trainer, triples

from ip2p_lightning.data.formats.base import export_pairs
from ip2p_lightning.data.formats.ip2p_folder import IP2PFolder
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.mistakes import MISTAKE, RIGHT
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import REJECTED, Selection
from ip2p_lightning.data.verification import verify
from ip2p_lightning.generation.base import Candidate, EditTriple, PairScores
from ip2p_lightning.generation.filter import KEPT, PairFilter, Thresholds
from ip2p_lightning.generation.filtering import NOT_STORED, FilterPairs, read_reasons, reasons
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.merge import CANDIDATES
from ip2p_lightning.generation.pairs import recorded, scores_of
from ip2p_lightning.generation.planner import Rate, make_plan
from ip2p_lightning.generation.prompt_to_prompt import PromptToPromptMaker
from ip2p_lightning.generation.stages import Inputs, run_stage
from ip2p_lightning.generation.what_if import WhatIf


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ledger]:
    """Five triples of the world with six pairs each, and the dataset merged from them."""
    folder = tmp_path_factory.mktemp("made")
    ledger = make(folder, triples(5))
    merged(folder, ledger)
    return folder, ledger


@pytest.mark.parametrize(("cross", "refused"), [("replace", 2), ("auto", 1), (None, 0)])
def test_edits_that_a_maker_cannot_make_are_counted_once(cross: Any, refused: int, tmp_path: Path):
    """They would fail each time, and ten in a row would stop the stage."""
    long = replace(TRIPLE, id="t3", edited_caption=f"{TRIPLE.edited_caption} and a red castle on a hill by the sea")
    entries = [TRIPLE, LONGER, replace(long, original_caption=long.edited_caption)]
    maker = PromptToPromptMaker(tiny_pipeline(), STEPS, cross=cross)
    ledger = make(tmp_path, entries, maker, scorer=Indifferent())
    done = merged(tmp_path, ledger)
    assert not ledger.facts().errors
    assert Inputs(entries, ledger, 2).blocks() == {}
    assert (done.triples, done.reasons.total()) == (3, 6 * (3 - refused))
    told = {"beyond the text encoder": 1, "unequal numbers of words": 1}
    assert done.refused == (told if refused == 2 else {"beyond the text encoder": 1} if refused else {})


@pytest.mark.parametrize(("fault", "reason"), [("nan", "not finite"), ("black", "one colour")])
def test_broken_pictures_are_counted_and_the_others_kept(fault: str, reason: str, tmp_path: Path):
    done = merged(tmp_path, make(tmp_path, triples(2), Broken(fault)))
    assert done.reasons[reason] == 2
    assert done.reasons.total() == 12
    assert done.stored == 10
    assert verify(tmp_path / "dataset", decode=True).ok


def test_the_filter_keeps_right_pairs_alone(made: tuple[Path, Ledger]):
    dataset = ShardDataset(made[0] / "dataset")
    by_split: dict[str, set[str]] = {}
    for pair, split in zip(map(dataset.__getitem__, range(len(dataset))), dataset.column("split"), strict=True):
        by_split.setdefault(split, set()).add(pair.metadata[MISTAKE])
    assert by_split.pop(REJECTED) > {"no edit", "unrelated"}
    assert all(kinds == {RIGHT} for kinds in by_split.values())
    groups = list(zip(dataset.column("group"), dataset.column("split"), strict=True))
    assert len({row for row in groups if row[1] != REJECTED}) == len({g for g, split in groups if split != REJECTED})


def test_the_result_depends_neither_on_batches_nor_on_the_order_of_work(made: tuple[Path, Ledger], tmp_path: Path):
    entries = triples(5)
    make(tmp_path, entries[3:])
    merged(tmp_path, make(tmp_path, entries))
    for name in ("index.parquet", "shard-000000.tar", CANDIDATES, "dataset.json"):
        assert (tmp_path / "dataset" / name).read_bytes() == (made[0] / "dataset" / name).read_bytes(), name


def test_how_pairs_were_sampled_leaves_with_them(made: tuple[Path, Ledger], tmp_path: Path):
    """Under InstructPix2Pix's keys, and back."""
    dataset = ShardDataset(made[0] / "dataset")
    export_pairs(dataset, IP2PFolder(), tmp_path / "exported")
    files = (tmp_path / "exported").glob("*/metadata.jsonl")
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    rows_made = [row for entry in recorded(made[1]) for row in entry.rows]
    told = {(row["seed"], row["p2p_threshold"], row["cfg_scale"], row["clip_sim_dir"]) for row in rows}
    assert told == {
        (row["seed"], row["threshold"], row["text_scale"], scores.direction)
        for row in rows_made
        if (scores := scores_of(row))
    }
    again = IP2PFolder().open(tmp_path / "exported")
    back = {pair.id: pair.metadata for pair in map(again.encoded, range(len(again)))}
    assert back == {pair.id: pair.metadata for pair in map(dataset.encoded, range(len(dataset)))}


def test_other_thresholds_change_the_index_and_no_shard(tmp_path: Path):
    ledger = make(tmp_path, triples(3), keep=1)
    before = merged(tmp_path, ledger)
    shard = tmp_path / "dataset/shard-000000.tar"
    stamp = shard.stat()
    verdicts = Ledger(tmp_path / "filter", ".jsonl")
    run_stage(trainer(), FilterPairs(PairFilter(Thresholds(direction=-1), keep=6)), recorded(ledger), verdicts, 2)
    after = merged(tmp_path, ledger, read_reasons(verdicts))
    assert after.reasons[KEPT] == 18 > before.reasons[KEPT] == 3
    assert (shard.stat().st_ino, shard.stat().st_mtime_ns) == (stamp.st_ino, stamp.st_mtime_ns)
    assert verify(tmp_path / "dataset").ok
    assert REJECTED not in ShardDataset(tmp_path / "dataset").column("split")
    told = merged(tmp_path, ledger, read_reasons(verdicts), {f"{recorded(ledger)[0].id}/0": "a text"})
    assert told.expressive == 1  # texts are in the shards
    assert shard.stat().st_ino != stamp.st_ino
    assert "a text" in ShardDataset(tmp_path / "dataset").column("expressive_instruction")


def test_pairs_without_pictures_cannot_be_kept(tmp_path: Path):
    ledger = make(tmp_path, triples(2), stored=0.0)
    loose = PairFilter(Thresholds(direction=-1), keep=6)
    for entry in recorded(ledger):
        rows = entry.rows
        assert [row["reason"] for row in rows] == reasons(entry, PairFilter(keep=2))
        verdicts = reasons(entry, loose)
        assert {verdict for row, verdict in zip(rows, verdicts, strict=True) if not row["stored"]} <= {
            NOT_STORED, "surplus",
        }  # fmt: skip
        assert [v for v in verdicts if v == KEPT] == [row["reason"] for row in rows if row["reason"] == KEPT]


class Indifferent:
    """Finds all pairs equally good."""

    name = "indifferent"

    def score(self, triple: EditTriple, pairs: Sequence[Candidate]) -> list[PairScores]:
        return [PairScores(0.8, 0.5, 0.3, 0.3)] * len(pairs)


class Dark:
    """Finds pictures unsafe that are darker than the mean of those that it was shown first."""

    name = "dark"

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def unsafe(self, images: torch.Tensor) -> list[bool]:
        return [bool(image.mean() < self.limit) for image in images]


def test_unsafe_pictures_are_stored_nowhere(made: tuple[Path, Ledger], tmp_path: Path):
    dataset = ShardDataset(made[0] / "dataset")
    pictures = [to_tensor(image) for pair in map(dataset.__getitem__, range(30)) for image in pair_images(pair)]
    safety = Dark(float(torch.stack([picture.mean() for picture in pictures]).median()))
    unsafe = {
        dataset[n].id for n in range(30) if any(safety.unsafe(torch.stack(pictures[2 * n : 2 * n + 2])))
    }  # fmt: skip
    assert {REJECTED, "train"} <= {split for n, split in enumerate(dataset.column("split")) if dataset[n].id in unsafe}

    asked_when_made = make(tmp_path / "made", triples(5), safety=safety)
    done = merged(tmp_path / "made", asked_when_made)
    entries = recorded(asked_when_made)
    without = {row["pair"] for entry in entries for row in entry.rows if not row["stored"]}
    assert without == unsafe
    assert done.reasons["unsafe"] == len(unsafe) == 30 - done.stored
    judged = [reasons(entry, PairFilter(keep=2)) for entry in entries]
    assert sum(row.count("unsafe") for row in judged) == len(unsafe), "a filter that asks nobody lets none in again"

    verdicts = Ledger(tmp_path / "filter", ".jsonl")  # asked later on: the dataset is written anew without them
    run_stage(trainer(), FilterPairs(PairFilter(keep=2, safety=safety)), recorded(made[1]), verdicts, 2)
    merged(tmp_path, made[1])
    assert len(ShardDataset(tmp_path / "dataset")) == 30
    merged(tmp_path, made[1], read_reasons(verdicts))
    later = ShardDataset(tmp_path / "dataset")
    assert {pair.id for pair in map(later.__getitem__, range(len(later)))} == {
        pair.id for pair in map(dataset.__getitem__, range(30)) if pair.id not in unsafe
    }  # fmt: skip
    assert verify(tmp_path / "dataset").ok


def pair_images(pair: EditPair) -> tuple[Any, Any]:
    return pair.original_image, pair.edited_image


def test_what_if_agrees_with_the_filter(made: tuple[Path, Ledger]):
    folder, ledger = made
    asked = WhatIf(folder / "dataset", keep=3)
    for direction in (-1.0, 0.05, 0.2, 0.42, 0.9):
        rule = PairFilter(Thresholds(direction=direction), keep=3)
        kept = [reasons(entry, rule).count(KEPT) for entry in recorded(ledger)]
        found = asked.outcome({**asked.thresholds, "clip_direction": direction})
        assert (found.pairs, found.triples) == (sum(kept), sum(count > 0 for count in kept))
    assert asked.thresholds == {
        "clip_image": 0.7,
        "clip_direction": 0.2,
        "text_image_original": 0.2,
        "text_image_edited": 0.2,
    }
    assert asked.sheet("clip_direction", 0.1, columns=2, side=32).height > 7 * 32
    nearest = [pair.metadata["scores"]["clip_direction"] for pair in asked.pairs_at("clip_direction", 0.2, 4)]
    scores = asked.scores["clip_direction"]
    assert sorted(abs(score - 0.2) for score in nearest) == sorted(abs(scores - 0.2))[:4]
    with pytest.raises(ValueError, match="has no score"):
        WhatIf(folder / "dataset", {"beauty": 1.0})


def test_training_selects_what_was_kept_and_no_more(made: tuple[Path, Ledger]):
    everything = ShardDataset(made[0] / "dataset")
    kept = sum(len(ShardDataset(made[0] / "dataset", Selection(split=split))) for split in SPLITS)
    assert kept == len(everything) - everything.column("split").count(REJECTED) > 0
    again = Selection(split="all", splits={"all": 1.0})
    assert len(ShardDataset(made[0] / "dataset", again)) == kept


def test_a_plan_adds_up(made: tuple[Path, Ledger]):
    ledger = made[1]
    rate = Rate.of(ledger)
    assert rate is not None
    assert rate.inputs == 5
    ledgers = {"triples": Ledger(made[0] / "none", ".jsonl"), "pairs": ledger}
    plan = make_plan(100, ledgers, ledgers, {"triples": 0.5}, 2, "process", "here")
    first, second = plan.stages
    assert (first.inputs, first.left, first.rate) == (100, 100, None)
    assert (second.inputs, second.left) == (50, 45)
    assert plan.seconds == pytest.approx(45 * rate.seconds / 2)
    assert plan.bytes == pytest.approx(2 * 50 * rate.bytes)
