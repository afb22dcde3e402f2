"""`ip2p zoo`: the trained models that come with the package: list them, measure them, print their cards, add one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from ip2p_lightning.config import read_stored_yaml
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.methods.checkpoint import read_checkpoint
from ip2p_lightning.shipped import NAMES, WEIGHTS, path
from ip2p_lightning.terminal import Terminal
from ip2p_lightning.zoo.card import Card, plain_figures
from ip2p_lightning.zoo.curves import CURVE, save_curve
from ip2p_lightning.zoo.registry import entry


def run(config: DictConfig) -> None:
    """Carry out `config.command`.

    Raises:
        ValueError: an unknown model, a missing key, or weights larger than the model's share of the package.
        FileNotFoundError: weights or a checkpoint that are not there.
    """
    {"list": _list, "evaluate": _evaluate, "card": _card, "add": _add}[config.command](config)


def _list(config: DictConfig) -> None:
    table = Table("model", "size", "made by", "what it is")
    for name in NAMES:
        folder = _root(config) / name
        size = f"{folder_size(folder) / 1e6:.1f} MB" if folder.is_dir() else "not here"
        table.add_row(name, size, f"ip2p train experiment={entry(name).EXPERIMENT}", entry(name).SUMMARY)
    Terminal().print(table)


def _card(config: DictConfig) -> None:
    for name in _chosen(config):
        print(Card.load(path(name, _root(config))).markdown())


def _evaluate(config: DictConfig) -> None:
    console = Terminal()
    for name in _chosen(config):
        folder = path(name, _root(config))
        card = Card.load(folder)
        figures, measured_on = measure(name, folder, config)
        table = Table("figure", "now", "card", "n", title=f"{name}: {_described(measured_on)}")
        same = measured_on == card.measured_on
        for figure, value in figures.items():
            told = card.figures.get(figure) if same else None
            table.add_row(figure, _shown(value), _shown(told) if told else "", f"{value['n']:,}")
        console.print(table)


def _add(config: DictConfig) -> None:
    """Pack a run's averaged weights, measure them, and write their card and the run's curve."""
    if config.name is None or config.checkpoint is None:
        raise ValueError("add needs name=... (which model) and checkpoint=RUN/checkpoints/last.ckpt (what was trained)")
    name, checkpoint = str(config.name), Path(config.checkpoint)
    model, folder = entry(name), _root(config) / name
    card = _recipe(name, checkpoint, config)
    part = folder.with_name(f"{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    model.pack(checkpoint, part)
    if folder_size(part) > model.LARGEST_BYTES:
        raise ValueError(
            f"{name} takes {folder_size(part):,} bytes in {part}, but its share of the package is "
            f"{model.LARGEST_BYTES:,}; train a smaller network"
        )
    figures, measured_on = measure(name, part, config)
    replace(card, figures=figures, measured_on=measured_on).save(part)
    save_curve(checkpoint.parent.parent, part / CURVE)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    print(f"{name}: {folder_size(folder) / 1e6:.2f} MB in {folder}; `ip2p zoo card name={name}` shows its card")


def measure(name: str, folder: Path, config: DictConfig) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """The figures of a model in a folder, and what they were taken on.

    Args:
        name: of the model.
        folder: its folder.
        config: `count`, `split` and `size` of the pairs.
    """
    model = entry(name)
    measured_on = {"level": model.LEVEL, "split": config.split, "count": config.count, "size": config.size}
    pairs = WorldSource(config.count, size=config.size, level=model.LEVEL, split=config.split)
    figures = model.measure(model.load(folder), pairs, _root(config))
    return plain_figures(figures), measured_on


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _recipe(name: str, checkpoint: Path, config: DictConfig) -> Card:
    """The card without figures, from the checkpoint and the configuration in its run folder."""
    file = checkpoint.parent.parent / "config.yaml"
    stored = read_checkpoint(checkpoint)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; the card needs the run's configuration: give the run's own file")
    trained = read_stored_yaml(file)
    try:
        data = trained["data"]
        sources = data["train"] if isinstance(data["train"], list) else [data["train"]]
        recipe = {
            "steps": int(stored["global_step"]),
            "seed": int(trained["seed"]),
            "batch_size": int(data["batch_size"]),
            "data": [{key: value for key, value in source.items() if value is not None} for source in sources],
            "fingerprint": str(stored["EditDataModule"]["train"]["data"]).split()[0],  # what the run was trained on
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{checkpoint} and {file} are not of one run of ip2p train ({error!r} in what they hold)"
        ) from error
    return Card(
        name=name,
        **recipe,
        hours=config.hours,
        machine=config.machine or "",
        measured_on={},
    )


def _chosen(config: DictConfig) -> list[str]:
    """The model that is asked for, or all whose weights are there."""
    if config.name is not None:
        return [str(config.name)]
    return [name for name in NAMES if (_root(config) / name).is_dir()]


def _root(config: DictConfig) -> Path:
    return Path(config.root) if config.root else WEIGHTS


def _described(measured_on: dict[str, Any]) -> str:
    return f"{measured_on['count']} {measured_on['split']} pairs of the level {measured_on['level']}"


def _shown(figure: dict[str, float]) -> str:
    return f"{figure['estimate']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
