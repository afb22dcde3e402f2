"""Sweeps whose jobs have several ranks: a configuration and a folder a job, whatever proposes and starts them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from hydra.errors import MissingConfigException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from ip2p_lightning.config import config_dir
from ip2p_lightning.jobs.messages import explain

ROOT = Path(__file__).resolve().parents[2]
RANKS = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
QUICK = [
    "trainer=ddp_cpu",
    "trainer.max_steps=2",
    "~callbacks.pictures",
    "~callbacks.summary",
    "+callbacks.witness={_target_: distributed.witness.Witness}",
]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that others start find the package and the witness."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")


def composed(*overrides: str) -> DictConfig:
    """A job's configuration with Hydra's own part, as launchers get it."""
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="train"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


def told(folder: Path) -> list[list[dict[str, Any]]]:
    """What the two ranks of each job of a sweep told, by job number."""
    jobs = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    return [[json.loads((job / f"witness-{rank}.json").read_text()) for rank in range(2)] for job in jobs]


def agree(folder: Path, jobs: int) -> list[dict[str, Any]]:
    """Check that the ranks of each job trained the same, in its own folder; returns what their first ranks told."""
    found = told(folder)
    assert len(found) == jobs
    for number, (first, second) in enumerate(found):
        assert first["world"] == second["world"] == 2
        assert first["folder"] == second["folder"] == str(folder / str(number))
        assert (folder / str(number) / "rank-1.log").is_file()
        assert not set(first["ids"]) & set(second["ids"])
        for key in ("dropout", "rates", "weights"):
            assert first[key] == second[key]
        assert OmegaConf.load(folder / str(number) / "config.yaml").dropout.text == first["dropout"]
    assert not (folder.parent / "multirun").exists()  # where a rank that runs the sweep itself would go
    return [first for first, _ in found]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # optuna 2, which the sweeper pins, with SQLAlchemy 2
def test_ranks_of_a_job_train_what_the_sweeper_proposed_for_it(ip2p, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs hydra-optuna-sweeper")
    optuna = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1"]
    space = ["dropout.text=interval(0.0,0.2)", "optimized_metric=val/editing_loss"]
    before = {name: os.environ.get(name) for name in RANKS}  # other tests of this process may have left some
    ip2p("train", "-m", "experiment=ip2p/tiny", *QUICK, *optuna, *space, f"hydra.sweep.dir={tmp_path}/sweep")
    first, second = agree(tmp_path / "sweep", jobs=2)
    assert first["dropout"] != second["dropout"]
    assert (tmp_path / "sweep" / "optimization_results.yaml").is_file()
    assert not torch.distributed.is_initialized()
    assert {name: os.environ.get(name) for name in RANKS} == before


@pytest.mark.slow
def test_jobs_with_ranks_run_side_by_side(ip2p, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs ip2p-lightning[joblib]")
    joblib = ["hydra/launcher=parallel", "hydra.launcher.n_jobs=2"]
    grid = ["experiment=ip2p/tiny,mgie/tiny", "dropout.text=0.11"]
    ip2p("train", "-m", *grid, *QUICK, *joblib, f"hydra.sweep.dir={tmp_path}/sweep")
    first, second = agree(tmp_path / "sweep", jobs=2)
    assert first["weights"] != second["weights"]


@pytest.mark.slow
def test_a_job_with_ranks_runs_in_submitit_s_process(ip2p, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs ip2p-lightning[submitit]")
    ip2p(
        "train", "-m", "experiment=ip2p/tiny", "dropout.text=0.12", *QUICK, "hydra/launcher=submitit_local",
        f"hydra.sweep.dir={tmp_path}/sweep",
    )  # fmt: skip
    (only,) = agree(tmp_path / "sweep", jobs=1)
    assert only["dropout"] == 0.12


def test_slurm_is_asked_for_a_task_a_rank():
    slurm = pytest.importorskip("submitit.slurm.slurm", reason="needs ip2p-lightning[submitit]")
    config = composed("experiment=ip2p/paper", "data.path=x", "trainer.num_nodes=2", "hydra/launcher=slurm")
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(config_loader=None, callbacks=None), task_function=lambda _: None, config=config
    )
    asked = {key: launcher.params[key] for key in ("nodes", "tasks_per_node", "gpus_per_node")}
    assert asked == {"nodes": 2, "tasks_per_node": 8, "gpus_per_node": 8}
    tasks = asked["tasks_per_node"]
    assert "--ntasks-per-node=8" in slurm._make_sbatch_string(command="x", folder="y", ntasks_per_node=tasks)


@pytest.mark.parametrize("launcher", ["basic", "joblib", "parallel", "submitit_local", "submitit_slurm", "slurm"])
def test_a_launcher_takes_the_keys_that_we_give_it(launcher: str):
    needed = {"joblib": "joblib", "parallel": "joblib"}.get(launcher, "submitit")
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{needed}_launcher", reason=f"needs ip2p-lightning[{needed}]")
    config = composed("experiment=ip2p/tiny", f"hydra/launcher={launcher}")
    assert Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(config_loader=None, callbacks=None), task_function=lambda _: None, config=config
    )


def test_slurm_s_launcher_off_a_cluster_says_so(ip2p):
    pytest.importorskip("submitit", reason="needs ip2p-lightning[submitit]")
    words = ["train", "-m", "experiment=ip2p/tiny", "hydra/launcher=slurm", "trainer=ddp_cpu", "seed=1"]
    assert "there is no srun here; start the command on a login node" in ip2p(*words, fails=True)


def test_a_launcher_without_its_plugin_names_the_extra():
    missing = MissingConfigException("Could not find 'hydra/launcher/joblib'", "hydra/launcher/joblib")
    message = explain(missing, "train", ["hydra/launcher=joblib"])
    assert message is not None
    assert "pip install 'ip2p-lightning[joblib]'" in message


def test_every_value_of_the_wandb_sweep_composes():
    sweep = yaml.safe_load((ROOT / "sweep.yaml").read_text(encoding="utf-8"))
    values = {
        key: spec.get("values") or ([spec["value"]] if "value" in spec else [spec["min"], spec["max"]])
        for key, spec in sweep["parameters"].items()
    }
    for number in range(2 * max(map(len, values.values()))):  # each value of a key, each time with others of the rest
        combination = {key: found[(number + place) % len(found)] for place, (key, found) in enumerate(values.items())}
        chosen = {key: {"value": value} for key, value in combination.items()}
        words = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
        config = composed(*words, "trainer=ddp_cpu", "output_dir=x")  # with several ranks, too
        assert all(
            OmegaConf.select(config, key) == value
            for key, value in combination.items()
            if key not in ("experiment", "logger")
        )
