"""The benchmark asks what it says, and its figures come by set and by probe."""

from __future__ import annotations

import pytest

from ip2p_lightning.config import build, compose
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.truth import Truth
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.benchmark import SETS, WorldBenchmark, probe
from ip2p_lightning.metrics import L1, ErrorHalved
from ip2p_lightning.report.tables import probes_table


def test_pairs_belong_to_their_probes() -> None:
    benchmark = WorldBenchmark(3, size=16)
    pairs = [benchmark[index] for index in range(len(benchmark))]
    assert len(pairs) == 15
    assert len({pair.id for pair in pairs}) == 15
    sets = [pair.metadata["probe"].partition(": ")[0] for pair in pairs]
    assert sets == [name for name in SETS for _ in range(3)]
    assert {pair.kind for pair in pairs[6:9]} == {"count"}
    assert {pair.kind for pair in pairs[12:]} == {"visual"}
    assert all("attributes" in pair.metadata and pair.mask is not None and pair.edited_caption for pair in pairs)
    assert WorldBenchmark(3, size=16)[7].instruction == pairs[7].instruction
    assert WorldBenchmark(3, size=16, seed=1)[7].instruction != pairs[7].instruction


@pytest.mark.parametrize(
    ("name", "kind"), [("counting", "count"), ("places", "spatial"), ("needs the image", "visual")]
)
def test_every_instruction_finds_its_probe(name: str, kind: str) -> None:
    words = {
        "more": ("add", "there should be", "make it"),
        "fewer": ("leave only", "there should be", "make it"),
        "add next to another": ("add", "put", "place"),
        "remove a neighbour": ("remove what", "take away", "clear"),
        "swap": ("swap", "trade places", "exchange"),
        "seasons pass": ("season", "half a year"),
        "hours pass": ("hours", "later in the day", "half a day", "clock", "next time"),
        "hour of life": ("as if", "when"),
        "weather turns": ("weather",),
        "a twin": ("twin", "another one", "company"),
        "colours swapped": ("colours",),
        "like another": ("like", "the colour of", "match"),
        "the largest painted": ("largest", "biggest"),
        "the smallest goes": ("smallest",),
    }
    source = WorldSource(60, level="full", kinds=SETS[name].kinds)
    found = set()
    for index in range(60):
        change = source.change(index)[1]
        asked = probe(name, change)
        found.add(asked)
        if asked in words:
            assert any(word in change.instruction for word in words[asked]), (asked, change.instruction)
    assert len(found) >= 2


def test_figures_by_set_and_probe() -> None:
    data = build(compose("evaluate", ["data=world_benchmark", "data.test.count=3", "data.test.size=16"]).data)
    source, metrics = data.sources()["test"], {"error": L1(255), "error_halved": ErrorHalved()}
    result = evaluate(Truth(), source, metrics, transform=data.transform.evaluation())
    assert set(SETS) <= set(result.probes)
    assert all(figures["error"].ours.estimate == 0 for figures in result.probes.values())
    assert result.probes["counting"]["error"].ours.values == 3
    parts = [name for name in result.probes if name.startswith("counting: ")]
    assert sum(result.probes[name]["error"].ours.values for name in parts) == 3
    assert result.summary()["probes"]["counting"]["error_halved"]["ours"]["estimate"] == 1
    copied = evaluate(CopyInput(), source, metrics, transform=data.transform.evaluation())
    assert all(figures["error"].ours.estimate > 0 for figures in copied.probes.values())
    table = probes_table(copied, "error")
    assert list(table.columns[0].cells) == list(copied.probes)


def test_levels_without_probes() -> None:
    assert WorldBenchmark(1, size=16, level="simple").names == ["new scenes", "held-out combinations"]
    with pytest.raises(ValueError, match="level 'medium' has no probes counting; it has new scenes"):
        WorldBenchmark(1, level="medium", sets=["counting"])
