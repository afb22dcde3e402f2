"""Ablations: what each sweeps composes, and `sweep.yaml` may take any of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from ip2p_lightning.config import compose, config_dir
from ip2p_lightning.jobs.guide import options

ROOT = Path(__file__).resolve().parents[2]
OF = {  # an experiment that each goes with; ip2p/tiny for the others
    "no_expressive": ("experiment=mgie/tiny",),
    "visual_tokens": ("experiment=mgie/tiny",),
    "expressive_text": ("experiment=ip2p/world",),
    "unet": ("experiment=ip2p/world",),
    "shards/dataset_size": ("experiment=ip2p/paper", "data.path=x"),
    "shards/filtering": ("experiment=ip2p/paper", "data.path=x"),
}


def value(word: str) -> Any:
    """The value of an override, as Hydra understands it."""
    return OverridesParser.create().parse_override(word).value()


def swept(name: str) -> dict[str, list[str]]:
    """The overrides, by key, with which Hydra's sweeper would run an ablation under -m."""
    file = yaml.safe_load((config_dir() / "ablation" / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    params = file.get("hydra", {}).get("sweeper", {}).get("params", {})
    parser = OverridesParser.create()
    parsed = [parser.parse_override(f"{key}={value}") for key, value in params.items()]
    return {
        override.key_or_group: [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]
        for override in parsed
    }


@pytest.mark.slow  # some sixty compositions
@pytest.mark.parametrize("name", options("ablation"))
def test_every_value_of_every_ablation_composes(name: str) -> None:
    base = [*OF.get(name, ("experiment=ip2p/tiny",)), f"ablation={name}", "output_dir=x"]
    plain = compose("train", base)
    for combination in itertools.product(*swept(name).values()):
        changed = compose("train", [*base, *combination])
        for word in combination:
            assert OmegaConf.select(changed, word.split("=")[0]) == value(word), word
    assert OmegaConf.missing_keys(plain) <= {"base"}


def test_what_the_papers_vary_can_be_swept() -> None:
    assert {name for name in options("ablation") if swept(name)} == {
        *("dataset_size", "filtering", "conditioning_dropout", "guidance", "visual_tokens"),
        *("shards/dataset_size", "shards/filtering"),
    }


def test_an_ablation_is_swept_from_the_command_line(ip2p, tmp_path: Path) -> None:
    quick = ["trainer.max_steps=1", "~callbacks.pictures", "~callbacks.summary", "trainer.limit_val_batches=0"]
    small = ["data.train.source.source.count=16", "data.train.source.source.size=32", "data.batch_size=4"]
    ip2p(
        "train", "-m", "ablation=dataset_size", "experiment=ip2p/tiny", *quick, *small,
        "hydra.sweeper.params={data.train.size: '4,8'}", f"hydra.sweep.dir={tmp_path}/sweep",
    )  # fmt: skip
    sizes = [OmegaConf.load(tmp_path / "sweep" / str(job) / "config.yaml").data.train.size for job in range(2)]
    assert sizes == [4, 8]


@pytest.mark.slow  # some hundred compositions
@pytest.mark.parametrize("name", [name for name in options("ablation") if swept(name) and "shards" not in name])
def test_the_wandb_sweep_takes_any_ablation(name: str) -> None:
    sweep = yaml.safe_load((ROOT / "sweep.yaml").read_text(encoding="utf-8"))
    values = {
        key: spec.get("values") or ([spec["value"]] if "value" in spec else [spec["min"], spec["max"]])
        for key, spec in sweep["parameters"].items()
    }
    values |= {"ablation": [name]}
    if name == "visual_tokens":
        values["experiment"] = ["mgie/world"]
    own = {key: [word.split("=", 1)[1] for word in words] for key, words in swept(name).items()}
    first = {key: options[0] for key, options in values.items()}
    for combination in itertools.product(*own.values()):
        chosen = {key: {"value": one} for key, one in {**first, **dict(zip(own, combination, strict=True))}.items()}
        words = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
        config = compose("train", [*words, "output_dir=x"])
        for key, text in zip(own, combination, strict=True):
            assert OmegaConf.select(config, key) == value(f"{key}={text}")
