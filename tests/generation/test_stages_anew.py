"""Results count for what they were made of: what was written anew is made anew, and nothing of the old remains."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from generation.stages_factory import make, merged, trainer, triples
from processes import in_process

from ip2p_lightning.config import compose
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.verification import verify
from ip2p_lightning.generation.base import EditTriple
from ip2p_lightning.generation.expanding import WriteExpressive, kept_pairs, read_texts
from ip2p_lightning.generation.filter import PairFilter, Thresholds
from ip2p_lightning.generation.filtering import FilterPairs, read_reasons
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.pairs import pair_id, recorded
from ip2p_lightning.generation.stages import run_stage
from ip2p_lightning.generation.triples import read_triples
from ip2p_lightning.jobs.generate import generate


@pytest.mark.filterwarnings("ignore:Total length of `DataLoader`")
def test_results_count_for_what_they_were_made_of_and_for_nothing_else(tmp_path: Path):
    first = triples(3)
    other = [replace(entry, instruction=f"please {entry.instruction}") for entry in first[:2]]
    rule = FilterPairs(PairFilter(keep=2))

    def work(entries: Sequence[EditTriple]) -> tuple[list[Any], dict[str, list[str]], dict[str, str]]:
        found = recorded(make(tmp_path, entries), entries)
        verdicts, texts = Ledger(tmp_path / "filter", ".jsonl"), Ledger(tmp_path / "expressive", ".jsonl")
        run_stage(trainer(), rule, found, verdicts, 2)
        run_stage(trainer(), WriteExpressive(None), kept_pairs(found, read_reasons(verdicts, found)), texts, 2)
        return found, read_reasons(verdicts, found), read_texts(texts, found)

    found, verdicts, texts = work(first)
    assert [entry.triple.instruction for entry in found] == [t.instruction for t in first]
    again, rejudged, rewritten = work(other)
    assert [entry.triple for entry in again] == [*map(as_stored, other)]
    assert set(rejudged) == {entry.id for entry in other}
    files = {file: file.read_bytes() for file in tmp_path.rglob("part-*")}
    assert len(list(tmp_path.glob("pairs/part-*.tar"))) == 3, "two batches of the first, one of the others"
    assert set(rewritten) == {id for id in texts if id.rpartition("/")[0] in rejudged}
    assert work(first) == (found, verdicts, texts)  # all that is still there
    assert {file: file.read_bytes() for file in tmp_path.rglob("part-*")} == files
    assert not recorded(Ledger(tmp_path / "pairs", ".tar"), [replace(first[0], kind="another")])


def as_stored(triple: EditTriple) -> EditTriple:
    """As it comes back from a file: tuples are lists there."""
    return EditTriple(**json.loads(json.dumps(asdict(triple))))


def test_another_writer_after_the_remedy_of_the_message(tmp_path: Path):
    """What "remove that folder to do the stage anew" promises: a dataset of the new texts alone."""
    run = ["experiment=generate/tiny", "count=3", "search.candidates=3", "generation/maker=rendered", "maker.size=16"]
    run += [f"output_dir={tmp_path}"]
    old = set(ShardDataset(generate(compose("generate", run))).column("instruction"))
    shutil.rmtree(tmp_path / "triples")
    anew = generate(compose("generate", [*run, "writer.kinds=[season]"]))
    texts = [triple.instruction for triple in read_triples(Ledger(tmp_path / "triples", ".jsonl")).triples]
    assert set(ShardDataset(anew).column("instruction")) == set(texts) != old
    before = ShardDataset(anew).info.fingerprint
    generate(compose("generate", [*run, "writer.kinds=[season]"]))
    assert ShardDataset(anew).info.fingerprint == before


@pytest.mark.parametrize("texts", [{}, {"all": "a text"}], ids=["index", "shards"])
@pytest.mark.parametrize("before", [False, True], ids=["new", "anew"])
def test_a_disk_that_fills_up_in_the_merge_loses_nothing(before: bool, texts: dict[str, str], tmp_path: Path):
    """Whether there is a dataset already, and whether its index changes alone or its shards as well."""
    ledger = make(tmp_path, triples(3), keep=1)
    found = recorded(ledger)
    verdicts = Ledger(tmp_path / "filter", ".jsonl")
    run_stage(trainer(), FilterPairs(PairFilter(Thresholds(direction=-1), keep=6)), found, verdicts, 2)
    told = {pair_id(entry.id, number): text for text in texts.values() for entry in found for number in range(6)}
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "pairs", whole / "pairs")
    merged(whole, Ledger(whole / "pairs", ".tar"), read_reasons(verdicts), told)
    if before:
        merged(tmp_path, ledger)
    parts = {file: file.read_bytes() for file in tmp_path.glob("*/part-*")}
    dataset = contents(tmp_path / "dataset")

    stay = before and not texts
    sizes = {name: len(data) for name, data in contents(whole / "dataset").items() if not (stay and "shard" in name)}
    for room in sorted(size - 1 for size in sizes.values()):  # it fills up at one file or another

        def full(room: int = room) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            with pytest.raises(OSError, match="File too large"):
                merged(tmp_path, ledger, read_reasons(verdicts), told)

        assert in_process(full) == 0
        assert contents(tmp_path / "dataset") == dataset
        assert {file: file.read_bytes() for file in tmp_path.glob("*/part-*")} == parts
        if before:
            assert verify(tmp_path / "dataset").ok
    (tmp_path / "..dataset.new.killed").mkdir()
    merged(tmp_path, ledger, read_reasons(verdicts), told)
    assert contents(tmp_path / "dataset") == contents(whole / "dataset")
    assert {path.name for path in tmp_path.iterdir()} == {"pairs", "filter", "dataset", "whole"}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.is_dir() else {}
