"""An experiment is a recipe, a trainer is a machine: whichever trainer is chosen says how many processes there are."""

from __future__ import annotations

from functools import cache

import pytest
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.config import compose, config_dir

MACHINE = ("accelerator", "devices", "num_nodes", "strategy")
PAPERS = ("ip2p/paper", "mgie/paper", "lgie/paper", "mgie_ft/paper", "writer/paper", "generate/paper")


@pytest.mark.parametrize("trainer", ["cpu", "ddp", "ddp_cpu", "fsdp"])
@pytest.mark.parametrize("name", PAPERS)
def test_the_chosen_trainer_s_machine_wins_over_the_experiment_s(name: str, trainer: str):
    chosen = compose("generate" if name.startswith("generate/") else "train", [
        f"experiment={name}", f"trainer={trainer}", "output_dir=x",
    ]).trainer  # fmt: skip
    assert machine(chosen) == alone(trainer)


@cache
def alone(name: str) -> list[object]:
    return machine(compose("train", ["experiment=ip2p/tiny", f"trainer={name}", "output_dir=x"]).trainer)


def machine(trainer: DictConfig) -> list[object]:
    strategy = trainer.strategy if isinstance(trainer.strategy, str) else trainer.strategy._target_
    return [trainer.accelerator, trainer.devices, trainer.num_nodes, strategy]


def test_no_experiment_decides_the_machine():
    for path in sorted((config_dir() / "experiment").rglob("*.yaml")):
        trainer = OmegaConf.load(path).get("trainer") or {}
        assert not set(trainer) & set(MACHINE), path


def test_the_papers_recipes_keep_their_machines():
    for name, precision in (
        ("ip2p", "32-true"),
        ("mgie", "bf16-mixed"),
        ("lgie", "bf16-mixed"),
        ("mgie_ft", "bf16-mixed"),
    ):
        trainer = compose("train", [f"experiment={name}/paper", "output_dir=x"]).trainer
        assert (trainer.devices, trainer.precision, trainer.accelerator) == (8, precision, "gpu")
    one = compose("train", ["experiment=ip2p/paper", "trainer=cpu", "output_dir=x"]).trainer
    assert (one.devices, one.accelerator, one.accumulate_grad_batches, one.max_epochs) == (1, "cpu", 4, 2000)


@pytest.mark.parametrize("experiment", ["ip2p", "mgie_fz", "mgie_ft"])
def test_one_key_names_the_model_of_all_parts(experiment: str):
    config = compose("train", [f"experiment={experiment}/paper", "base_model=/sd", "base_variant=fp16", "output_dir=x"])
    text = config.conditioner if experiment == "ip2p" else config.conditioner.text
    for part in (text.text_encoder, config.autoencoder.vae, config.denoiser.network):
        assert (part.weights, part.variant, part.dtype) == ("/sd", "fp16", "float32")
    assert text.tokenizer.weights == "/sd"
    maker = compose("generate", ["experiment=generate/paper", "base_model=/sd"]).maker
    assert maker.pipeline.weights == "/sd"
    mgie = compose("train", ["experiment=mgie/paper", "conditioner.model.weights=/llava", "output_dir=x"]).conditioner
    assert mgie.tokenizer.tokenizer.weights == "/llava"
