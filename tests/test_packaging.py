"""What is published: the wheel, the lock file, the declared dependencies, the sweep."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.guide import experiments

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
IMPORT_NAMES = {"open_clip_torch": "open_clip", "hydra-core": "hydra", "pillow": "PIL", "pyyaml": "yaml"}
IMPORT_NAMES |= {"scikit-image": "skimage"}


def required(requirements: list[str]) -> list[str]:
    return [re.split(r"[\s<>=!~\[;]", requirement)[0] for requirement in requirements]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: Path) -> set[str]:
    """Top-level names of everything that the files of a folder import, in functions too."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names


def test_every_import_is_declared():
    optional = itertools.chain(*PROJECT["project"]["optional-dependencies"].values())
    declared = required([*PROJECT["project"]["dependencies"], *optional])
    known = {IMPORT_NAMES.get(name, normal(name).replace("-", "_")) for name in declared}
    assert imported(ROOT / "ip2p_lightning") - set(sys.stdlib_module_names) - {"ip2p_lightning"} <= known


def test_every_dependency_has_a_floor_and_is_locked():
    groups = [PROJECT["project"]["dependencies"], PROJECT["dependency-groups"]["dev"]]
    requirements = [*itertools.chain(*groups), *itertools.chain(*PROJECT["project"]["optional-dependencies"].values())]
    locked = set(re.findall(r"^([\w.-]+)==", LOCK, flags=re.MULTILINE))
    assert all(">=" in requirement for requirement in requirements)
    assert {normal(name) for name in required(requirements)} <= {normal(name) for name in locked}


def test_the_lock_pins_by_hash_and_names_no_place():
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK
    for block in re.split(r"\n(?=[a-z])", LOCK.strip()):
        assert re.match(r"[\w.-]+==\S+", block), block
        assert "--hash=sha256:" in block, block


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_the_wheel_brings_its_configuration_and_assets(wheel):
    tree = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    assert {path.relative_to(wheel / "ip2p_lightning/conf") for path in wheel.rglob("conf/**/*.yaml")} == tree
    tracked = [path for path in (ROOT / "ip2p_lightning").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert all((wheel / path.relative_to(ROOT)).is_file() for path in tracked)
    entry = next(wheel.glob("*.dist-info/entry_points.txt")).read_text()
    assert "ip2p = ip2p_lightning.cli:main" in entry
    assert next(wheel.glob("*.dist-info/licenses/LICENSE")).is_file()


def test_the_installed_package_runs_anywhere(wheel, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    command = [sys.executable, "-m", "ip2p_lightning", "train", "experiment=ip2p/tiny", "--cfg", "job"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "ip2p_lightning.methods.editing.EditingModule" in done.stdout
    help = subprocess.run([*command[:3], "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert all(name in help.stdout for name in experiments())


def test_the_sweep_composes_for_every_value():
    sweep = yaml.safe_load((ROOT / "sweep.yaml").read_text(encoding="utf-8"))
    assert "${args_no_hyphens}" in sweep["command"]
    assert sweep["command"][:4] == ["${env}", "${interpreter}", "-m", "${program}"]
    ranges = {
        key: spec.get("values") or ([spec["value"]] if "value" in spec else [spec["min"], spec["max"]])
        for key, spec in sweep["parameters"].items()
    }
    first = {key: values[0] for key, values in ranges.items()}
    for key, values in ranges.items():
        for value in values:
            arguments = create_sweep_command_args({"args": {k: {"value": v} for k, v in {**first, key: value}.items()}})
            composed = compose("train", [*arguments["args_no_hyphens"], "output_dir=unused"])
            assert composed.callbacks.ema.decay < 1
    assert sweep["metric"]["name"] == "val/editing_loss"
