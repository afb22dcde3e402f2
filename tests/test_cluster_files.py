"""The batch files for clusters: bash reads them, and what they start composes to what their header asks for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ip2p_lightning.config import compose

FILES = sorted((Path(__file__).resolve().parents[1] / "examples" / "slurm").glob("*.sbatch"))
EACH = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def header(path: Path) -> dict[str, str]:
    lines = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?", path.read_text(), flags=re.MULTILINE)
    return {name: value or "" for name, value in lines}


def started(path: Path) -> list[str]:
    """The words after `ip2p train`, with the file's variables put in by bash itself."""
    text = path.read_text()
    (command,) = re.findall(r"^srun .*?ip2p train (.*?[^\\])$", text, flags=re.MULTILINE | re.DOTALL)
    variables = "\n".join(re.findall(r"^[A-Z]+=.*$", text, flags=re.MULTILINE))
    script = f"HOME=/home/someone SLURM_JOB_ID=123\n{variables}\nprintf '%s\\n' {command}"
    return subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True).stdout.splitlines()


def test_there_is_one_for_each_way_of_training():
    assert [path.stem for path in FILES] == ["ddp", "fsdp"]


@EACH
def test_bash_reads_it(path: Path):
    subprocess.run(["bash", "-n", str(path)], check=True)


@EACH
def test_the_command_composes_to_what_the_header_asks_for(path: Path):
    words = started(path)
    (folder,) = [word for word in words if word.startswith("hydra.run.dir=")]
    config = compose("train", [*(word for word in words if word != folder), "output_dir=x"])
    asked = header(path)
    assert (config.trainer.num_nodes, config.trainer.devices) == (int(asked["nodes"]), int(asked["ntasks-per-node"]))
    assert asked["gpus-per-node"] == asked["ntasks-per-node"]
    assert config.data.workers < int(asked["cpus-per-task"])
    assert OmegaConf.missing_keys(config) == set()
    parts = [config.conditioner.get("text_encoder"), config.autoencoder.vae, config.denoiser.network]
    assert {part.weights for part in parts if part} == {"/home/someone/models/stable-diffusion-v1-5"}
    exact = config.ckpt == "auto"
    assert exact == ("requeue" in asked) == ("fsdp" not in path.stem)
    strategy = config.trainer.strategy._target_.rpartition(".")[2]
    assert (strategy, "ema" in config.callbacks) == (
        ("Sharded", False) if "fsdp" in path.stem else ("DDPStrategy", True)
    )


def test_steps_are_as_large_as_the_recipe_s():
    (path,) = [path for path in FILES if path.stem == "ddp"]
    config = compose("train", [*(word for word in started(path) if "hydra" not in word), "output_dir=x"])
    trainer = config.trainer
    pairs = config.data.batch_size * trainer.num_nodes * trainer.devices * trainer.accumulate_grad_batches
    assert pairs == 1024
