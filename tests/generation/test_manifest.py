"""Parts of a stage: a part counts from its manifest on, once, and damage is named."""

from __future__ import annotations

import json
import resource
import zlib
from pathlib import Path

import pytest
from generation.stages_factory import make, triples
from processes import in_process

from ip2p_lightning.generation.manifest import Facts, Ledger, ManifestError, PartWriteError
from ip2p_lightning.generation.pairs import recorded
from ip2p_lightning.generation.world_triples import WorldCaptions
from ip2p_lightning.store import Claims


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


SOUND = {"size": 4, "records": {}, "facts": {"inputs": 1, "calls": 2, "seconds": 3.0, "errors": {}}}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[1, 2]",
        '{"size": 4',
        *(
            json.dumps(SOUND | change)
            for change in (
                {"file": "../../outside.jsonl"},
                {"file": "/etc/passwd"},
                {"file": 3},
                {"size": "12"},
                {"records": [1]},
                {"records": {"a": 3}},
                {"facts": {"inputs": "many"}},
            )
        ),
        "{}",
    ],
)
def test_manifests_of_others_are_named_and_lead_nowhere(text: str, tmp_path: Path):
    (tmp_path / "outside.jsonl").write_bytes(b"one\n")
    folder = tmp_path / "run" / "stage"
    Ledger(folder, ".jsonl").commit({"a": b"one\n"}, Facts(1))
    (folder / "part-00001-0123456789ab.manifest.json").write_text(text)
    for use in (Ledger.records, Ledger.facts, Ledger.sweep):
        with pytest.raises(ManifestError, match=r"part-00001.*manifest\.json is damaged.*remove it"):
            use(Ledger(folder, ".jsonl"))
    assert (tmp_path / "outside.jsonl").is_file()


def test_pairs_of_an_older_version_are_refused_with_what_to_do(tmp_path: Path):
    """Their parts hold tars of JSON and images, and no table of candidates."""
    ledger = Ledger(tmp_path / "pairs", ".tar")
    ledger.commit({triples(1)[0].id: b"a tar with pairs.json"}, Facts(1))
    with pytest.raises(ManifestError, match=r"of a version before 0\.2.*remove .*pairs and run the stage pairs again"):
        recorded(ledger)


def test_rows_of_a_part_are_swept_with_it(tmp_path: Path):
    ledger = make(tmp_path, triples(2))
    tables = set((tmp_path / "pairs").glob("*.parquet"))
    (tmp_path / "pairs/part-00009-0.1.parquet").write_bytes(b"killed before its manifest")
    ledger.sweep()
    assert set((tmp_path / "pairs").glob("*.parquet")) == tables != set()
    next(iter(tables)).write_bytes(b"PAR1")
    with pytest.raises(ManifestError, match="is missing or damaged"):
        [entry.rows for entry in recorded(Ledger(tmp_path / "pairs", ".tar"))]


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
