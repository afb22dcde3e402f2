"""Where the configuration tree is, and how composed or stored configurations become objects."""

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
from ip2p_lightning.schema import check

_PACKAGE = Path(__file__).resolve().parent

# What a configuration out of a checkpoint may build: networks, processors, schedulers and optimizers. Each alternative
# ends in a class name or a named constructor, so that no helper function of those libraries can be called.
_TRUSTED = re.compile(
    r"ip2p_lightning\.(conditioners|diffusion|methods|models|world)\.\w+\.\w+"
    r"|torch\.optim\.(\w+\.)?[A-Z]\w*"
    r"|diffusers\.((models|schedulers)\.([\w]+\.)*)?[A-Z]\w*(\.from_(pretrained|config))?"
    r"|transformers\.(models\.([\w]+\.)*)?[A-Z]\w*(\.from_pretrained)?"
)
# Arguments with which those constructors would run code or unpickle files that come with the weights.
_UNSAFE_ARGUMENTS = {
    "trust_remote_code": True,
    "weights_only": False,
    "use_safetensors": False,
    "custom_pipeline": ...,
}


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


def compose(job: str, overrides: Sequence[str] = (), folder: Path | str | None = None) -> DictConfig:
    """Compose a job's configuration as the command line does, for use from Python.

    Args:
        job: "train", "evaluate", "edit" or "data".
        overrides: in Hydra's grammar, e.g. ["experiment=ip2p/tiny", "seed=1", "instruction='make it winter!'"].
        folder: configuration tree to use instead of `config_dir()`.

    Raises:
        ValueError: a value of the wrong type or out of its range; names the key, the value and what is allowed.

    Example:
        >>> from ip2p_lightning import compose
        >>> compose("train", ["experiment=ip2p/tiny", "seed=1"]).seed
        1
    """
    state = GlobalHydra.instance()
    outer, state.hydra = state.hydra, None  # a job that Hydra runs may compose another one
    try:
        with hydra.initialize_config_dir(str(Path(folder or config_dir()).resolve()), version_base="1.3", job_name=job):
            config = hydra.compose(job, overrides=list(overrides))
    finally:
        state.hydra = outer
    check(job, config)
    return config


def plain(config: Any) -> Any:
    """The configuration with interpolations resolved, as dicts, lists and scalars (for loggers and checkpoints)."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def build(config: Any, **arguments: Any) -> Any:
    """Instantiate a composed configuration; objects get plain dicts and lists, never OmegaConf's.

    Args:
        config: a node with `_target_`, or a mapping or list of such nodes.
        arguments: ready objects for the outermost target.
    """
    return hydra.utils.instantiate(config, _convert_="all", **arguments)


def instantiate_trusted(config: Mapping[str, Any], **arguments: Any) -> Any:
    """Build an object from a configuration that came with a checkpoint, which somebody else may have written.

    Args:
        config: resolved, with `_target_` keys.
        arguments: passed to the outermost target beside those in `config`.

    Raises:
        ValueError: a `_target_` that is not a model, scheduler or optimizer, an argument that would run code, or an
            interpolation; names the key and the target.
    """
    for key, value in walk(plain(config)):
        _check_trusted(key, value)
    return build(OmegaConf.create(dict(config)), **arguments)


def _check_trusted(key: str, value: Any) -> None:
    name = key.rsplit(".", 1)[-1]
    if isinstance(value, str) and "${" in value:
        raise ValueError(f"stored configuration: {key} = {value!r} is an interpolation; store resolved values only")
    if name == "_target_" and not (isinstance(value, str) and _TRUSTED.fullmatch(value) and _is_own(value)):
        raise ValueError(
            f"stored configuration: {key} = {value!r} may not be built from a checkpoint; only ip2p_lightning's own "
            "parts, torch.optim, and model, tokenizer and scheduler classes of diffusers and transformers may. "
            "If you trust the file, build the module in Python and load its weights"
        )
    if name in _UNSAFE_ARGUMENTS and _UNSAFE_ARGUMENTS[name] in (..., value):
        raise ValueError(
            f"stored configuration: {key} = {value!r} could run code that comes with the weights; remove it"
        )


def _is_own(target: str) -> bool:
    """Whether a target is defined in the library it is named after, not a module or function imported into it."""
    found = hydra.utils.get_object(target)
    return callable(found) and str(getattr(found, "__module__", "")).split(".")[0] == target.split(".")[0]


def walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every (dotted key, value) below `node`, containers included."""
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for name, value in children:
        path = f"{key}.{name}" if key else str(name)
        yield path, value
        yield from walk(value, path)
