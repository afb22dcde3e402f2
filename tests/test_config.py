"""The configuration tree composes, is commented, and what comes out of a checkpoint may build models alone."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from ip2p_lightning import zoo
from ip2p_lightning.config import build, compose, config_dir, instantiate_trusted, plain
from ip2p_lightning.jobs.guide import experiments, options, subjects

FILES = sorted(config_dir().rglob("*.yaml"))


def test_config_dir_is_the_tree_of_the_checkout():
    assert config_dir() == Path(__file__).resolve().parents[1] / "conf"
    assert (config_dir() / "train.yaml").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(config_dir()).as_posix())
def test_every_scalar_key_says_what_it_is_for(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#"), "the first line says what the file is"
    scalar = re.compile(r"\s*-?\s*[A-Za-z]\w*: *[^\s#]")
    keys = [(above, line) for above, line in pairwise(lines) if scalar.match(line)]
    assert [line for above, line in keys if "#" not in line and not above.lstrip().startswith("#")] == []


@pytest.mark.parametrize("name", sorted(experiments()))
def test_every_experiment_composes_and_resolves(name: str, tmp_path: Path):
    config = compose("train", [f"experiment={name}", f"output_dir={tmp_path}"])
    for key in [key for key in config if OmegaConf.is_missing(config, key)]:
        config[key] = "last.ckpt"  # what such an experiment begins with
    if OmegaConf.is_missing(config.data, "path"):
        config.data.path = "pairs"
    resolved = plain(config)
    edits = resolved["method"]["_target_"] == "ip2p_lightning.methods.editing.EditingModule"
    others = ("zoo/judge", "zoo/dual_encoder", "zoo/text_to_image", "writer/", "imagen/", "open/")
    assert edits != (name.startswith(others) and name != "imagen/world/edit")
    assert all("_target_" in stage for stage in resolved["stages"])


@pytest.mark.parametrize("name", options("ablation"))
def test_every_ablation_changes_something(name: str):
    plain_run = plain(compose("train", ["output_dir=unused", "experiment=ip2p/world"]))
    changed = plain(compose("train", ["output_dir=unused", "experiment=ip2p/world", f"ablation={name}"]))
    assert changed != plain_run
    assert (changed["stages"] == plain_run["stages"]) == (name != "lora")


@pytest.mark.parametrize("job", subjects())
def test_every_job_composes(job: str):
    overrides = ["output_dir=x"] if job == "train" else []
    assert OmegaConf.is_dict(compose(job, overrides))


def test_build_gives_plain_containers():
    config = OmegaConf.create({"_target_": "builtins.dict", "groups": [{"lr": 1.0}]})
    built = build(config)
    assert type(built["groups"]) is list
    assert type(built["groups"][0]) is dict


def test_a_run_may_begin_with_a_model_of_the_package():
    config = compose("train", ["experiment=zoo/mgie"])
    folder = str(zoo.path("instruct_pix2pix"))
    assert plain(config.init)[0] == {"checkpoint": folder, "from": "denoiser", "to": "denoiser"}
    with pytest.raises(InterpolationResolutionError, match="the zoo has no 'lion'"):
        plain(compose("train", ["experiment=zoo/mgie", "base=${zoo:lion}"]))


def test_trusted_configuration_builds_a_model():
    config = {
        "_target_": "diffusers.UNet2DConditionModel",
        "block_out_channels": [8, 16],
        "down_block_types": ["DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"],
        "norm_num_groups": 4,
        "layers_per_block": 1,
    }
    assert isinstance(instantiate_trusted(config), UNet2DConditionModel)


def test_trusted_configuration_takes_partials_and_ready_objects():
    optimizer = instantiate_trusted({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.5})
    assert optimizer([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"] == 0.5


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.hub.load",
        "torch.load",
        "subprocess.Popen",
        "hydra.utils.instantiate",
        "ip2p_lightning.jobs.train.run",
        "ip2p_lightning.jobs.data_commands.render",
        "diffusers.utils.import_utils.BACKENDS_MAPPING",
        "transformers.dynamic_module_utils.get_class_from_dynamic_module",
        "torch.optim.optimizer.os.system",
        "ip2p_lightning.methods.checkpoint.torch.load",
    ],
)
def test_a_stored_configuration_may_not_call(target: str):
    with pytest.raises(ValueError, match=re.escape(target)):
        instantiate_trusted({"_target_": "torch.optim.AdamW", "nested": [{"deep": {"_target_": target}}]})


def test_a_stored_configuration_may_not_read_the_environment():
    with pytest.raises(ValueError, match="interpolation"):
        instantiate_trusted({"_target_": "torch.optim.AdamW", "lr": "${oc.env:HOME}"})
