"""The published numbers: equal to what is composed, and from places that the works have."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.config import compose

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLE: dict[str, Any] = yaml.safe_load((DOCS / "published.yaml").read_text(encoding="utf-8"))
INPUTS = {"generate/paper": ("generate", ["captions.path=x"]), "writer/paper": ("train", ["data.train.path=x"])}
"""Experiment -> its job and the keys that it needs; others are `ip2p train ... data.path=x`."""


def composed(experiment: str) -> DictConfig:
    job, needed = INPUTS.get(experiment, ("train", ["data.path=x"]))
    return compose(job, [f"experiment={experiment}", "output_dir=x", *needed])


def unknown_sources(table: dict[str, Any]) -> list[str]:
    """Numbers whose work, place or certainty is not in the table's lists."""
    return [
        f"{experiment} {key}: {work}, {place}"
        for experiment, numbers in table["numbers"].items()
        for key, (_, work, place, sure, _) in numbers.items()
        if work not in table["works"] or place not in table["works"][work]["places"] or sure not in table["sure"]
    ]


@pytest.mark.parametrize("experiment", TABLE["numbers"])
def test_every_value_is_the_composed_one(experiment: str):
    config = composed(experiment)
    wrong = {}
    for key, (value, *_) in TABLE["numbers"][experiment].items():
        found = OmegaConf.select(config, key, throw_on_missing=True)
        plain = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
        if plain != value or OmegaConf.select(config, key, default="absent") == "absent":
            wrong[key] = (value, plain)
    assert wrong == {}


def test_every_source_is_a_place_that_the_work_has():
    assert unknown_sources(TABLE) == []


@pytest.mark.parametrize("planted", [(1, "arxiv"), (2, "section 9.9.9"), (2, "eq. 12"), (3, "certain")])
def test_a_source_that_no_list_has_is_found(planted: tuple[int, str]):
    table, (field, text) = copy.deepcopy(TABLE), planted
    table["numbers"]["ip2p/paper"]["dropout.text"][field] = text
    assert len(unknown_sources(table)) == 1


def test_the_page_is_made_from_the_table():
    spec = importlib.util.spec_from_file_location("make_published", DOCS / "make_published.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.page(TABLE) == (DOCS / "published.md").read_text(encoding="utf-8")


SITE = {"output_dir", "base_model", "base_variant", "base", "batch_size", "store_rejected"}
"""Keys that say where things are or how a machine runs, not what the papers did."""


@pytest.mark.parametrize("experiment", TABLE["numbers"])
def test_every_number_that_an_experiment_sets_itself_has_its_source(experiment: str):
    own = yaml.safe_load((DOCS.parent / "conf" / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8"))
    listed = TABLE["numbers"][experiment]
    keys = {key: value for key, value in leaves(own) if isinstance(value, (int, float)) and key not in SITE}
    assert [key for key in keys if not any(key == known or key.startswith(known + ".") for known in listed)] == []


def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every value below a node of a YAML file with the path of its key; `defaults` are not values."""
    if isinstance(node, (dict, list)):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        below = [leaves(value, f"{path}.{key}" if path else str(key)) for key, value in items if key != "defaults"]
        return [found for part in below for found in part]
    return [(path, node)]
