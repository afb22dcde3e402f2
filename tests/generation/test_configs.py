"""The configured makers, scorers, searches and filters are built; those of hub weights name what they would load."""

from __future__ import annotations

from datetime import timedelta

import pytest
from generation.pairs_factory import TRIPLE
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from ip2p_lightning.config import build, compose, config_dir, plain
from ip2p_lightning.generation.filter import PairFilter
from ip2p_lightning.generation.prompt_to_prompt import PromptToPromptMaker
from ip2p_lightning.generation.search import FixedSearch
from ip2p_lightning.zoo import path


def loaded(group: str, name: str):
    return OmegaConf.load(config_dir() / "generation" / group / f"{name}.yaml")


@pytest.mark.parametrize("name", ["fixed", "adaptive"])
def test_searches(name):
    config = OmegaConf.create({"seed": 3, "filter": loaded("filter", "paper"), "search": loaded("search", name)})
    search = build(config.search)
    assert isinstance(search.filter, PairFilter)
    assert search.filter.thresholds.image == 0.7
    assert search.filter.keep == 4
    assert search.seed == 3
    assert search.ranges.share == [0.1, 0.9]
    assert search.ranges.draw(0, TRIPLE, 0) == FixedSearch().ranges.draw(0, TRIPLE, 0)


def test_the_tiny_maker_makes_pairs():
    maker = build(loaded("maker", "tiny"))
    assert isinstance(maker, PromptToPromptMaker)
    (pair,) = maker.make(TRIPLE, [FixedSearch().ranges.draw(0, TRIPLE, 0)])
    assert pair.original_image.shape == (3, 16, 16)
    assert maker.calls == 4 * 4


def test_the_paper_s_maker_samples_as_the_paper_does():
    config = loaded("maker", "paper")
    assert (config.steps, config.size, config.scheduler.timestep_spacing) == (100, 512, "linspace")
    scheduler = build(config.scheduler)
    scheduler.set_timesteps(100)
    assert float(scheduler.sigmas[0]) == pytest.approx(14.6146, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "group", "name"), [("text_to_image", "maker", "world"), ("dual_encoder", "scorer", "dual_encoder")]
)
def test_the_world_s_parts_come_from_the_zoo(model, group, name):
    try:
        path(model)
    except FileNotFoundError:
        with pytest.raises(InstantiationException, match=r"make them with `ip2p train experiment=zoo/"):
            build(loaded(group, name))
    else:
        assert build(loaded(group, name)).name.startswith("zoo")


@pytest.mark.parametrize("trainer", [[], ["trainer=ddp"], ["trainer=ddp_cpu"]])
def test_ranks_wait_for_those_with_more_to_do_and_for_the_merge(trainer: list[str]):
    experiment = ["experiment=generate/world"] if trainer else ["experiment=generate/paper", "captions.path=x"]
    made = build(compose("generate", [*experiment, *trainer]).trainer.strategy.timeout)
    assert made == timedelta(weeks=1)
    training = plain(compose("train", ["experiment=ip2p/tiny", "trainer=ddp"]).trainer.strategy)
    assert training["timeout"]["minutes"] == 30
