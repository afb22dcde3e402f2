"""Stages lose nothing: failures stay with their input, broken pictures are counted, thresholds choose from scores."""

from __future__ import annotations

import json
import resource
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from generation.pairs_factory import LONGER, STEPS, TRIPLE, tiny_pipeline
from generation.stages_factory import SPLITS, make, merged, trainer, triples
from processes import in_process

from ip2p_lightning.data.formats.base import export_pairs
from ip2p_lightning.data.formats.ip2p_folder import IP2PFolder
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.mistakes import MISTAKE, RIGHT
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import REJECTED, Selection
from ip2p_lightning.data.verification import verify
from ip2p_lightning.generation.base import Candidate, Caption, EditTriple, MadePair, PairScores, Rejected
from ip2p_lightning.generation.captions import JsonlCaptions, TarCaptions, TextCaptions, take
from ip2p_lightning.generation.filter import KEPT, PairFilter, Thresholds
from ip2p_lightning.generation.filtering import NOT_STORED, FilterPairs, read_reasons, reasons, recorded
from ip2p_lightning.generation.manifest import Facts, Ledger, ManifestError, PartWriteError
from ip2p_lightning.generation.merge import CANDIDATES
from ip2p_lightning.generation.pairs import read_record
from ip2p_lightning.generation.planner import Rate, make_plan
from ip2p_lightning.generation.prompt_to_prompt import PromptToPromptMaker
from ip2p_lightning.generation.rendering import RenderedPairs
from ip2p_lightning.generation.stages import PATIENCE, Inputs, StageError, run_stage
from ip2p_lightning.generation.triples import WriteTriples, read_triples, triples_of_file
from ip2p_lightning.generation.what_if import WhatIf
from ip2p_lightning.generation.world_triples import WorldCaptions
from ip2p_lightning.generation.writers.grammar import GrammarWriter
from ip2p_lightning.store import Claims


class Broken:
    """A maker with a fault: pictures that are not finite, black ones, or an error."""

    name, calls = "broken", 0

    def __init__(self, fault: str) -> None:
        self.fault, self.maker = fault, RenderedPairs(16)

    def make(self, triple: EditTriple, candidates: Sequence[Candidate], steps: int | None = None) -> list[MadePair]:
        if self.fault == "error":
            raise FloatingPointError("overflow")
        good = self.maker.make(triple, candidates)
        value = {"nan": float("nan"), "black": -1.0}[self.fault]
        return [replace(good[0], edited_image=torch.full_like(good[0].edited_image, value)), *good[1:]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ledger]:
    """Five triples of the world with six pairs each, and the dataset merged from them."""
    folder = tmp_path_factory.mktemp("made")
    ledger = make(folder, triples(5))
    merged(folder, ledger)
    return folder, ledger


def test_a_part_counts_from_its_manifest_on(tmp_path: Path):
    ledger = Ledger(tmp_path / "stage", ".jsonl")
    ledger.commit({"a": b"one\n", "b": b"two\n"}, Facts(2, 10, 1.5, {"c": "no"}))
    ledger.commit({"c": b"three\n"}, Facts(1, 5, 0.5))
    (tmp_path / "stage/part-00009-0.jsonl").write_bytes(b"killed before its manifest")
    (tmp_path / "stage/.part-00009-1.jsonl.part").write_bytes(b"killed whil")
    assert {id: record.read() for id, record in ledger.records().items()} == {
        "a": b"one\n", "b": b"two\n", "c": b"three\n",
    }  # fmt: skip
    assert ledger.facts() == Facts(3, 15, 2.0, {})  # c failed once, and is done now
    with Claims(tmp_path / "stage").hold("part-00009-0"):
        ledger.sweep()
        assert len(list((tmp_path / "stage").iterdir())) == 7, "somebody may be writing"
    ledger.sweep()
    assert len(list((tmp_path / "stage").iterdir())) == 4


def test_a_part_that_is_cut_short_is_made_anew_and_a_changed_one_is_named(tmp_path: Path):
    ledger = Ledger(tmp_path, ".jsonl")
    cut = ledger.commit({"a": b"one\n"}, Facts(1))
    changed = ledger.commit({"b": b"two\n"}, Facts(1))
    cut.write_bytes(b"on")
    changed.write_bytes(b"TWO\n")
    records = ledger.records()
    assert list(records) == ["b"]
    with pytest.raises(ManifestError, match=changed.name):
        records["b"].read()


def test_a_folder_belongs_to_its_settings(tmp_path: Path):
    ledger = Ledger(tmp_path / "pairs", ".tar")
    ledger.settings({"maker": {"steps": 25}, "seed": 0})
    ledger.settings({"maker": {"steps": 25}, "seed": 0})
    with pytest.raises(ManifestError, match=r"other settings \(maker.steps\)"):
        ledger.settings({"maker": {"steps": 50}, "seed": 0})


def test_a_block_that_two_processes_did_counts_once(tmp_path: Path):
    """As when the first was taken for dead; the first result stays, to the byte."""
    entries = [*WorldCaptions(2, "simple")]
    ledger, other = Ledger(tmp_path, ".jsonl"), Ledger(tmp_path, ".jsonl")
    part = ledger.block(0, entries)
    ledger.commit({entries[0].id: b"first\n"}, Facts(2, 1, 1.0), part)
    other.commit({entries[0].id: b"second, and longer\n"}, Facts(2, 1, 1.0), part)
    assert {id: record.read() for id, record in other.records().items()} == {entries[0].id: b"first\n"}
    assert ledger.facts() == Facts(2, 1, 1.0)
    assert len(list(tmp_path.iterdir())) == 2


def test_parts_of_the_first_version_are_read(tmp_path: Path):
    """Their manifests do not name the file of the data, which has the same name."""
    (tmp_path / "part-00000-0123456789ab.jsonl").write_bytes(b"one\n")
    row = [0, 4, zlib.crc32(b"one\n"), ""]
    manifest = {"size": 4, "records": {"a": row}, "facts": {"inputs": 1, "calls": 2, "seconds": 3.0, "errors": {}}}
    (tmp_path / "part-00000-0123456789ab.manifest.json").write_text(json.dumps(manifest))
    ledger = Ledger(tmp_path, ".jsonl")
    ledger.sweep()
    assert ledger.records()["a"].read() == b"one\n"
    assert ledger.facts() == Facts(1, 2, 3.0)


def test_a_full_disk_loses_the_batch_in_hand_alone(tmp_path: Path):
    ledger = Ledger(tmp_path, ".jsonl")
    ledger.commit({"a": b"x" * 1000}, Facts(1))

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        with pytest.raises(PartWriteError, match="make room, then give the same command again"):
            ledger.commit({"b": b"x" * 20_000}, Facts(1))

    before = sorted(tmp_path.iterdir())
    assert in_process(full) == 0
    assert sorted(tmp_path.iterdir()) == before
    ledger.commit({"b": b"x" * 20_000}, Facts(1))
    assert set(ledger.records()) == {"a", "b"}


def test_captions_of_files_come_once_and_damage_is_counted(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(
        b"a red house\n\nA red  house.\ncaf\xe9 by night\n123 456\n" + b"word " * 300 + b"\n"
    )
    rows = [{"caption": "a boat", "url": "u1"}, {"caption": "a ship", "url": "u1"}, {"text": "x"}, {"caption": 5}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"caption": "cut of')
    text = list(take(TextCaptions(tmp_path / "a.txt"), None))
    lines = list(take(JsonlCaptions(tmp_path / "a.jsonl"), None))
    assert [entry.text for entry in text + lines if isinstance(entry, Caption)] == ["a red house", "a boat"]
    told = [entry.reason for entry in text if isinstance(entry, Rejected)]
    assert told == ["duplicate", "corrupt", "corrupt", "too_long"]
    assert [e.reason for e in lines if isinstance(e, Rejected)] == ["duplicate", "corrupt", "corrupt", "corrupt"]
    assert len(list(take(TextCaptions(tmp_path / "a.txt"), 1))) == 1
    with pytest.raises(FileNotFoundError, match=r"captions\.path"):
        TextCaptions(tmp_path / "none.txt")


@pytest.mark.real
def test_captions_of_real_tars(shared_data: Any):
    entries = list(take(TarCaptions(shared_data("cc12m_test")), 200))
    captions = [entry for entry in entries if isinstance(entry, Caption)]
    assert len(captions) > 20
    assert len({caption.id for caption in captions}) == len(captions)


def test_triples_of_a_file_in_either_spelling_are_checked_as_written_ones_are(tmp_path: Path):
    rows = [
        {"input": "a cat", "edit": "a hat", "output": "a cat with a hat", "url": "u"},
        {"caption": "a dog", "edit": "a hat", "output": "a dog with a hat"},
        {"input": "a cat", "edit": "a hat", "output": "a cat with a hat"},
        {"input": "same", "edit": "nothing", "output": "same"},
        {"input": "A cat.", "edit": "make it a cat", "output": "the cat"},
        {"input": "a tree", "edit": " ", "output": "a tree in snow"},
        {"input": "a beach", "edit": "undress them", "output": "a nude beach"},
        {"input": "a tree", "edit": "more", "output": "a tree " * 100},
        ["no row"],
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = triples_of_file(tmp_path / "t.jsonl")
    assert {triple.original_caption: triple.url for triple in found.triples} == {"a cat": "u", "a dog": ""}
    assert found.rejected == {"duplicate": 1, "copy": 2, "corrupt": 1, "empty": 1, "unsafe": 1, "too_long": 1}
    assert found.captions == len(found.triples) + found.rejected.total()


def test_one_bad_caption_fails_alone_and_is_tried_again(tmp_path: Path):
    class Nervous(GrammarWriter):
        nervous = True

        def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
            if self.nervous and any(caption.id.endswith("-3") for caption in captions):
                raise ValueError("not this one")
            return super().write(captions, seed)

    captions, ledger, writer = [*WorldCaptions(6, "simple")], Ledger(tmp_path, ".jsonl"), Nervous()
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 4)
    assert list(ledger.facts().errors) == ["simple-train-0-3"]
    assert len(read_triples(ledger).triples) == 5
    writer.nervous = False
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 4)
    assert ledger.facts().errors == {}
    whole = Ledger(tmp_path / "whole", ".jsonl")
    run_stage(trainer(), WriteTriples(GrammarWriter()), captions, whole, 6)
    assert read_triples(ledger).triples == read_triples(whole).triples


def test_a_block_of_which_nothing_came_is_tried_again_by_the_next_run(tmp_path: Path):
    """It has the same inputs then, and the part that holds its errors is there."""

    class Moody(GrammarWriter):
        away = True

        def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
            if self.away and captions[0].id.endswith("-1"):
                raise ValueError("not now")
            return super().write(captions, seed)

    captions, ledger, writer = [*WorldCaptions(3, "simple")], Ledger(tmp_path, ".jsonl"), Moody()
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 1)
    with pytest.raises(StageError, match="all 1 inputs failed"):
        run_stage(trainer(), WriteTriples(writer), captions, ledger, 1)
    assert list(ledger.facts().errors) == ["simple-train-0-1"]
    writer.away = False
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 1)
    assert ledger.facts().errors == {}
    assert len(ledger.records(captions)) == 3
    cut = next(tmp_path.glob("part-00002-*.jsonl"))
    cut.write_bytes(cut.read_bytes()[:-1])
    run_stage(trainer(), WriteTriples(writer), captions, Ledger(tmp_path, ".jsonl"), 1)
    assert len(Ledger(tmp_path, ".jsonl").records(captions)) == 3, "what was cut short is made again"


def test_a_writer_that_answers_rubbish_is_counted_by_reason(tmp_path: Path):
    class Rubbish:
        name = "rubbish"

        def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
            return [Rejected(caption.id, "unparsable", "%%##") for caption in captions[1:]]

    ledger = Ledger(tmp_path, ".jsonl")
    run_stage(trainer(), WriteTriples(Rubbish()), [*WorldCaptions(4, "simple")], ledger, 4)
    found = read_triples(ledger)
    assert (found.captions, found.triples, found.rejected) == (4, [], {"unparsable": 3, "nothing written": 1})


def test_a_part_that_always_fails_stops_the_stage(tmp_path: Path):
    with pytest.raises(StageError, match=rf"{PATIENCE} inputs in a row failed.*overflow"):
        make(tmp_path, triples(PATIENCE + 1), Broken("error"))
    assert len(Ledger(tmp_path / "pairs", ".tar").facts().errors) > 0


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
    recorded_pairs = [pair for e in recorded(made[1]) for pair in read_record(e.record.read()).pairs]
    told = {(row["seed"], row["p2p_threshold"], row["cfg_scale"], row["clip_sim_dir"]) for row in rows}
    assert told == {
        (pair.candidate.seed, pair.candidate.share, pair.candidate.guidance_scale, pair.scores.direction)
        for pair in recorded_pairs
        if pair.scores
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
    pairs = [read_record(entry.record.read()).pairs for entry in recorded(ledger)]
    loose = PairFilter(Thresholds(direction=-1), keep=6)
    for row in pairs:
        assert [pair.reason for pair in row] == reasons(row, PairFilter(keep=2))
        verdicts = reasons(row, loose)
        assert {verdict for pair, verdict in zip(row, verdicts, strict=True) if pair.pictures is None} <= {
            NOT_STORED, "surplus",
        }  # fmt: skip
        assert [v for v in verdicts if v == KEPT] == [pair.reason for pair in row if pair.reason == KEPT]


class Indifferent:
    """Finds all pairs equally good."""

    name = "indifferent"

    def score(self, triple: EditTriple, pairs: Sequence[MadePair]) -> list[PairScores]:
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
    records = [(e.id, read_record(e.record.read()).pairs) for e in recorded(asked_when_made)]
    without = {f"{id}/{n}" for id, pairs in records for n, pair in enumerate(pairs) if pair.pictures is None}
    assert without == unsafe
    assert done.reasons["unsafe"] == len(unsafe) == 30 - done.stored
    judged = [reasons(pairs, PairFilter(keep=2)) for _, pairs in records]
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
        kept = [reasons(read_record(entry.record.read()).pairs, rule).count(KEPT) for entry in recorded(ledger)]
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
