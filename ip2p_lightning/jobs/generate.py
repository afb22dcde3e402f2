"""`ip2p generate`: captions to edit pairs in stages, each of which goes on where it was stopped."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning.pytorch as L
import torch
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.config import build
from ip2p_lightning.distributed.ranks import ranks
from ip2p_lightning.files import write_whole
from ip2p_lightning.generation.generation import Generation
from ip2p_lightning.jobs.arithmetic import decide_precision, recorded_precision
from ip2p_lightning.redaction import without_secrets


def run(config: DictConfig) -> None:
    """Run the stages that are asked for; see `generate`."""
    generate(config)


def generate(config: DictConfig) -> Path:
    """Run the stages of `config.stages` and merge what there is; returns the dataset folder.

    Args:
        config: composed from conf/generate.yaml.

    Raises:
        ValueError: an unknown stage, or a stage without what the one before it leaves.
        ManifestError: a folder with records of other settings.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r".*does not have many workers")  # texts need none
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")  # inside Lightning
    warnings.filterwarnings("ignore", message=r".*Total length of `DataLoader`")  # nothing is left to do
    L.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    callbacks = list(build(config.callbacks).values())
    options = {"logger": False, "enable_checkpointing": False, "use_distributed_sampler": False}
    folder = Path(config.output_dir)
    decide_precision(config.trainer, recorded_precision(folder))
    trainer: L.Trainer = build(config.trainer, callbacks=callbacks, **options)
    generation = Generation(config, trainer)
    with ranks(trainer, config, f"{__name__}:generate"):
        if trainer.is_global_zero:
            write_whole(folder / "config.yaml", OmegaConf.to_yaml(without_secrets(config)), shared=True)
        generation.run()
    return folder / "dataset"
