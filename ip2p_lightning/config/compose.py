"""The configuration tree: where it is, how it is composed, and how what the user wrote there becomes objects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning import shipped

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> str:
    """`${zoo:mgie}` in a configuration is the folder of the package's MGIE."""
    return str(shipped.path(name))


def _sweep_name() -> str | None:
    """`${sweep_name:}` is experiment and date of the sweep that a run is a job of; null for a run of its own."""
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return None
    return "/".join(Path(HydraConfig.get().sweep.dir).parts[-3:])


OmegaConf.register_new_resolver("zoo", _shipped, replace=True)
OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)


def config_dir() -> Path:
    """The folder of the configuration tree: `conf/` of a checkout, or the copy inside an installed wheel."""
    packaged = _PACKAGE / "conf"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "conf"


def config_name(job: str) -> str:
    """Name of a job's file in the configuration tree: "data what-if" has conf/data_what_if.yaml."""
    return re.sub("[ -]", "_", job)


def compose(job: str, overrides: Sequence[str] = (), folder: Path | str | None = None) -> DictConfig:
    """Compose a job's configuration as the command line does, for use from Python.

    Args:
        job: as on the command line: "train", "evaluate", "data render".
        overrides: in Hydra's grammar, e.g. ["experiment=ip2p/tiny", "seed=1", "instruction='make it winter!'"].
        folder: configuration tree to use instead of `config_dir()`.

    Raises:
        ValueError: a value of the wrong type or out of its range; names the key, the value and what is allowed.

    Examples:
        >>> from ip2p_lightning import compose
        >>> compose("train", ["experiment=ip2p/tiny", "seed=1"]).seed
        1
    """
    state = GlobalHydra.instance()
    outer, state.hydra = state.hydra, None  # a job that Hydra runs may compose another one
    try:
        with hydra.initialize_config_dir(str(Path(folder or config_dir()).resolve()), version_base="1.3", job_name=job):
            config = hydra.compose(config_name(job), overrides=list(overrides))
    finally:
        state.hydra = outer
    from ip2p_lightning.schema import check  # pydantic, which help does without

    check(job, config)
    return config


def plain(config: Any) -> Any:
    """The configuration with interpolations resolved, as dicts, lists and scalars (for loggers and checkpoints)."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def build(config: Any, **arguments: Any) -> Any:
    """Instantiate a configuration that the user composed; objects get plain dicts and lists, never OmegaConf's.

    It calls what the configuration names. One that came with a file goes through `instantiate_trusted`.

    Args:
        config: a node with `_target_`, or a mapping or list of such nodes.
        arguments: ready objects for the outermost target.
    """
    return hydra.utils.instantiate(config, _convert_="all", **arguments)


def walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every (dotted key, value) below `node`, containers included."""
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for name, value in children:
        path = f"{key}.{name}" if key else str(name)
        yield path, value
        yield from walk(value, path)
