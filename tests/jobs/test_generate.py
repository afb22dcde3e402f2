"""`ip2p generate` from captions to a dataset that trains, stage by stage; what it tells, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from ip2p_lightning.config import compose, plain
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import REJECTED
from ip2p_lightning.data.verification import verify
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.run_card import RunCard
from ip2p_lightning.jobs.generate import generate
from ip2p_lightning.jobs.guide import experiments
from ip2p_lightning.jobs.train import train

SMALL = ["experiment=generate/tiny", "count=4", "search.candidates=3"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of all stages with random weights."""
    folder = tmp_path_factory.mktemp("made")
    generate(compose("generate", [*SMALL, f"output_dir={folder}"]))
    return folder


def parts(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob("*/part-*")}


@pytest.mark.parametrize("name", sorted(experiments(job="generate")))
def test_every_experiment_composes_and_resolves(name: str):
    resolved = plain(compose("generate", [f"experiment={name}", "++captions.path=x"]))
    assert resolved["output_dir"] == f"generated/{name.removeprefix('generate/')}"
    assert resolved["search"]["filter"] == resolved["filter"]


def test_the_stages_end_in_a_dataset_with_its_card(made: Path):
    card = RunCard.load(made / "dataset")
    dataset = ShardDataset(made / "dataset")
    assert verify(made / "dataset", decode=True).ok
    assert [stage.name for stage in card.stages] == ["captions", "triples", "pairs", "filter", "expressive"]
    for before, after in zip(card.stages[1:], card.stages[2:], strict=False):
        assert before.outputs == after.inputs
    by_filter = card.stages[3]
    assert by_filter.inputs == by_filter.outputs + sum(by_filter.rejected.values()) == 12
    assert card.kept == by_filter.outputs == 8
    assert card.kept + card.stored_rejected == len(dataset) == 12
    assert card.cost["denoiser_calls"] == sum(stage.calls for stage in card.stages) > 0
    assert set(card.models) == {"writer", "maker", "scorer"}
    rules, unknown = dict.fromkeys(("captions", "writer"), "CC0-1.0"), dict.fromkeys(("maker", "scorer"), "unknown")
    assert card.licences == rules | unknown  # random weights have no licence
    assert all("weights " in card.versions[part] for part in ("maker", "scorer"))
    assert "samples through the denoiser" in (made / "dataset/README.md").read_text()
    kept = [split != REJECTED for split in dataset.column("split")]
    texts = dataset.column("expressive_instruction")
    assert [bool(text) for text in texts] == kept
    assert all(value is not None for value in dataset.column("threshold") + dataset.column("score_clip_direction"))


def test_what_is_done_is_not_done_again(made: Path):
    before, index = parts(made), (made / "dataset/index.parquet").read_bytes()
    generate(compose("generate", [*SMALL, f"output_dir={made}"]))
    assert parts(made) == before
    assert (made / "dataset/index.parquet").read_bytes() == index


def test_stages_run_alone_and_in_a_larger_run(made: Path, tmp_path: Path):
    for stage in ("triples", "pairs", "filter", "expressive"):
        generate(compose("generate", [*SMALL, "count=2", f"output_dir={tmp_path}", f"stages=[{stage}]"]))
    assert len(ShardDataset(tmp_path / "dataset")) == 6
    generate(compose("generate", [*SMALL, f"output_dir={tmp_path}"]))  # two captions more
    first, second = ShardDataset(made / "dataset"), ShardDataset(tmp_path / "dataset")
    assert first.info.fingerprint == second.info.fingerprint
    assert first.column("split") == second.column("split")


def test_other_settings_are_refused_and_another_filter_is_not(made: Path, ip2p: Callable[..., str]):
    told = ip2p("generate", *SMALL, f"output_dir={made}", "maker.steps=5", fails=True)
    assert "other settings (maker.steps)" in told
    told = ip2p("generate", *SMALL, f"output_dir={made}", "stages=[filter]", "filter.keep=1")
    assert "12 candidates -> 4 pairs; left out: 8 surplus" in told
    ip2p("generate", *SMALL, f"output_dir={made}", "stages=[filter]")
    assert "stages=[sort] must be a list" in ip2p("generate", "stages=[sort]", fails=True)
    assert "run the stage triples first" in ip2p("generate", "stages=[pairs]", fails=True)


def test_pairs_are_made_in_the_arithmetic_that_is_asked_for(ip2p: Callable[..., str], tmp_path: Path):
    told = ip2p("generate", *SMALL, "count=2", "trainer.precision=bf16-mixed", "stages=[triples,pairs]")
    assert "failed" not in told
    assert OmegaConf.load(tmp_path / "generated/tiny/config.yaml").trainer.precision == "bf16-mixed"


def test_a_plan_measures_tells_and_stops(ip2p: Callable[..., str], tmp_path: Path, made: Path):
    told = ip2p("generate", *SMALL, "count=1000", "plan=true", "pilot=2", "captions.count=1000")
    assert "the plan for 1,000 captions" in told
    assert len(Ledger(tmp_path / "generated/tiny/pairs", ".tar").records()) == 2
    assert not (tmp_path / "generated/tiny/dataset").exists()
    other = ip2p("generate", *SMALL, "stages=[triples]", "output_dir=other", f"rates_from={made}")
    assert f"measured in {made}" in "".join(other.split("\n"))


def test_edits_may_come_from_a_file(ip2p: Callable[..., str], tmp_path: Path):
    row = {"input": "a red house", "edit": "make it blue", "output": "a blue house"}
    (tmp_path / "edits.jsonl").write_text(json.dumps(row) + "\nno json\n")
    told = ip2p("generate", *SMALL, "triples_file=edits.jsonl", "stages=[triples,pairs,filter]")
    assert "triples: 2 captions -> 1 triples; left out: 1 corrupt" in told
    assert set(ShardDataset(tmp_path / "generated/tiny/dataset").column("instruction")) == {"make it blue"}


def test_what_if_prints_counts_and_draws_pairs_at_the_thresholds(made: Path, ip2p: Callable[..., str], tmp_path: Path):
    told = ip2p("data", "what-if", f"path={made}/dataset", "output=at.png", "side=32", "step=0.5")
    assert "clip_direction" in told
    assert Image.open(tmp_path / "at.png").height > 7 * 32


@pytest.mark.slow
def test_the_dataset_trains(made: Path, tmp_path: Path):
    data = [
        "data=shards",
        f"data.path={made}/dataset",
        "data.transform.resolution=16",
        "data.batch_size=2",
        "data.workers=0",
    ]
    splits = ["data.splits={train: 0.5, validation: 0.5}", "~callbacks.pictures", "~callbacks.summary"]
    trained = train(
        compose("train", ["experiment=ip2p/tiny", *data, *splits, "trainer.max_steps=1", f"output_dir={tmp_path}"])
    )
    assert trained.trainer.global_step == 1
