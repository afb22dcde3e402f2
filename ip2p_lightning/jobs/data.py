"""`ip2p data`: render or import pairs to shards, export, verify, count and show them, try other thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ip2p_lightning.config import build, plain
from ip2p_lightning.data.doctor.geometry import Bounds
from ip2p_lightning.data.formats import Format
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources import EncodedSource
from ip2p_lightning.generation.what_if import WhatIf
from ip2p_lightning.jobs import data_commands, data_doctor
from ip2p_lightning.jobs.tree import options
from ip2p_lightning.terminal import Terminal


def run(config: DictConfig) -> None:
    """Carry out `config.command`.

    Raises:
        ValueError: a missing path or output, a damaged dataset (verify), or what the command itself raises.
    """
    commands = {"render": _render, "import": _import, "export": _export}
    commands |= {"verify": _verify, "stats": _stats, "show": _show, "what-if": _what_if}
    commands |= {"doctor": _doctor, "align": _align}
    commands[config.command](config)


def _render(config: DictConfig) -> None:
    output = _needed(config, "output", "the dataset folder to make, e.g. output=data/world")
    source = build(config.data).sources() if config.get("data") else build(config.source)
    data_commands.render(source, output, **_options(config))


def _import(config: DictConfig) -> None:
    path = _needed(config, "path", "the files to import, e.g. path=MagicBrush/data")
    output = _needed(config, "output", "the dataset folder to make, e.g. output=data/mine")
    source = _format(config).open(path, config.licence)
    data_commands.render(source, output, default_splits=plain(config.default_splits), **_options(config))


def _options(config: DictConfig) -> dict[str, Any]:
    """Those that render and import share."""
    names = ("workers", "skip_failures", "decode", "overwrite")
    return {**{name: config[name] for name in names}, "splits": plain(config.splits), "prefix": config.prefix or ""}


def _export(config: DictConfig) -> None:
    path = _needed(config, "path", "the dataset folder, e.g. path=data/world")
    output = _needed(config, "output", "the folder to make, e.g. output=exported")
    data_commands.export(path, _format(config), output, selection=_selection(config))


def _format(config: DictConfig) -> Format:
    if config.get("format") is None:
        raise ValueError(f"format is missing: which layout the files have, one of {', '.join(options('format'))}")
    return build(config.format)


def _doctor(config: DictConfig) -> None:
    encoder = None
    if config.encoder:
        from ip2p_lightning.metrics.encoders import OpenClipEncoder  # seconds of imports

        encoder = OpenClipEncoder.named(config.encoder)
    found = data_doctor.doctor(
        _source(config),
        config.output,
        encoder=encoder,
        resolution=config.resolution,
        fit=config.fit,
        alignment=config.alignment,
        bounds=Bounds(shift=config.max_shift),
        workers=config.workers,
        count=config.count,
        columns=config.columns,
        side=config.side,
    )
    if found.findings and config.strict:
        raise SystemExit(1)


def _align(config: DictConfig) -> None:
    output = _needed(config, "output", "the dataset folder to make, e.g. output=data/aligned")
    data_doctor.align(
        _source(config),
        output,
        bounds=Bounds(shift=config.max_shift),
        workers=config.workers,
        skip_failures=config.skip_failures,
        overwrite=config.overwrite,
    )


def _source(config: DictConfig) -> EncodedSource:
    """The files of a format, or a dataset folder."""
    path = _needed(config, "path", "a dataset folder, or files with format=..., e.g. path=data/mine")
    if config.get("format") is None:
        return ShardDataset(path, _selection(config))
    return _format(config).open(path, config.licence)


def _verify(config: DictConfig) -> None:
    path = _needed(config, "path", "the dataset folder, e.g. path=data/world")
    report = data_commands.verify(path, decode=config.decode)
    if not report.ok:
        raise ValueError(
            f"{path} is damaged ({len(report.problems):,} problem(s), {report.sound_pairs:,} of {report.pairs:,} pairs "
            "sound): copy the files above again, or re-render the dataset"
        )


def _stats(config: DictConfig) -> None:
    path = _needed(config, "path", "the dataset folder, e.g. path=data/world")
    data_commands.stats(path, selection=_selection(config))


def _show(config: DictConfig) -> None:
    output = _needed(config, "output", "the image to write, e.g. output=pairs.png")
    picture = data_commands.show(
        config.path or build(config.source),
        output,
        count=config.count,
        seed=config.seed,
        columns=config.columns,
        side=config.side,
        selection=_selection(config) if config.path else None,
    )
    print(picture)


def _what_if(config: DictConfig) -> None:
    path = _needed(config, "path", "the dataset folder, e.g. path=generated/world/dataset")
    found = WhatIf(path, plain(config.thresholds), config.keep)
    Terminal().print(found.table(config.step))
    if config.output:
        output = Path(config.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        found.sheet(config.score, config.step, config.columns, config.side).save(output)
        print(output)


def _selection(config: DictConfig) -> Selection:
    return Selection(split=config.split, kinds=plain(config.kinds), option_prefix="")


def _needed(config: DictConfig, key: str, what: str) -> str:
    if not config[key]:
        raise ValueError(f"{key} is missing: {what}")
    return config[key]
