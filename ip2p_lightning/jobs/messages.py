"""Errors as one screen: which key, file or value is at fault, and what to write instead."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
from hydra.utils import get_object
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ip2p_lightning.config import compose, config_dir, walk
from ip2p_lightning.jobs.disk_errors import disk_error
from ip2p_lightning.jobs.guide import JOBS, primary_keys
from ip2p_lightning.jobs.tree import groups, options
from ip2p_lightning.schema import as_written
from ip2p_lightning.schema.words import ELSEWHERE, MOVED

_PLUGINS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "submitit",
    "hydra/launcher/submitit_slurm": "submitit",
}
_MENDABLE = (ValueError, FloatingPointError, OSError, ImportError, HydraException, OmegaConfBaseException)


def explain(error: BaseException, job: str, overrides: Sequence[str]) -> str | None:
    """The message for an error that the user can correct; None for one that looks like a fault of the program.

    Args:
        error: what ended the job.
        job: its name.
        overrides: the words after it.
    """
    if (text := disk_error(error, lambda: _settings(job, overrides))) is not None:
        return f"{text}\n(--debug shows the traceback)"
    if isinstance(error, RuntimeError) and 'Could not detect "srun"' in str(error):  # submitit's
        return (
            "hydra/launcher=slurm submits jobs from a machine of the cluster, and there is no srun here; start the "
            "command on a login node, or rehearse it by hydra/launcher=submitit_local\n(--debug shows the traceback)"
        )
    if not isinstance(error, _MENDABLE):
        return None
    if isinstance(error, OverrideParseException):
        text = _word(error, job)
    elif "override must be a string or a list" in str(error):
        text = _group(overrides) or str(error)
    elif isinstance(error, ConfigCompositionException):
        text = _composition(error, job, overrides)
    elif isinstance(error, InstantiationException):
        text = _instantiation(error)
    elif isinstance(error, OmegaConfBaseException):
        text = _missing(job, overrides) if "Missing mandatory value" in str(error) else ""
        text = text or _value(error)
    else:
        text = str(error) or repr(error)
    return f"{text}\n(--debug shows the traceback)"


def _word(error: OverrideParseException, job: str) -> str:
    """A word that Hydra's grammar does not take."""
    word = str(getattr(error, "override", ""))
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word!r} is no key=value; `ip2p {job} --help` shows examples"
    if not value:
        return f"{key}= has no value; write {key}=null for none"
    return (
        f"{word} cannot be read; write a list as {key}=[a,b], and signs of the grammar in quotes: \"{key}='{value}'\""
    )


def _group(overrides: Sequence[str]) -> str:
    """A value where one of a group's options is wanted: logger=null, logger=3."""
    pairs = [word.lstrip("+").partition("=") for word in overrides]
    wrong = [key for key, _, value in pairs if options(key) and not isinstance(yaml.safe_load(value), str)]
    return "; ".join(f"~{key} leaves out the group {key}, or choose {', '.join(options(key))}" for key in wrong)


def _composition(error: ConfigCompositionException, job: str, overrides: Sequence[str]) -> str:
    """An override that names no key, an option that is no file, a mandatory key without a value."""
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found.group(1)
        inner = re.search(r"Key '([^']+)' is not in struct", f"{text}\n{error.__cause__}")
        if inner and inner.group(1) not in (key.split(".")[0], key.rsplit(".", 1)[-1]):
            if _elsewhere(key):
                return f"there is no key {key!r} in the configuration{near(key, job, overrides)}"
            whole = key.split(".")[0]
            return f"{key} has no {inner.group(1)!r}; keys can be changed there, not added: give {whole}=[...] again"
        return f"there is no key {key!r} in the configuration{near(key, job, overrides)}"
    if "Ambiguous value for argument" in text and (found := re.search(r"'([^'=]+)=([^']+)'", text)):
        key, value = found.groups()
        return f"{key}={value} names several values; write a list as {key}=[{value}], or a run for each with -m"
    if found := re.search(r"already at '([^']+)'|Multiple values for ([\w/]+)\. To override", text):
        return f"{found.group(1) or found.group(2)} is there already: write it without +"
    if found := re.search(r"Could not find '([^']+)'", text):
        if extra := _PLUGINS.get(found.group(1)):
            return f"{found.group(1)} needs a plugin: pip install 'ip2p-lightning[{extra}]'"
        named = (word.lstrip("+").partition("=")[0] for word in overrides)
        group = next((name for name in named if found.group(1).startswith(f"{name}/")), found.group(1).split("/")[0])
        option = found.group(1)[len(group) + 1 :]
        available = options(group)
        close = difflib.get_close_matches(option, available, n=3)
        hint = f"; did you mean {_either(f'{group}={name}' for name in close)}?" if close else ""
        known = f"{'' if hint else '.'} Options of {group}: {', '.join(available)}" if available else ""
        return f"there is no {found.group(1)!r} in the configuration tree{hint}{known}"
    if found := re.search(r"Could not override '?([\w/@.]+)'?\.?\s*\n?No match in the defaults list", text):
        return f"there is no config group {found.group(1)!r} in the defaults{near(found.group(1), job, overrides)}"
    cause = error.__cause__
    return _value(cause) if isinstance(cause, OmegaConfBaseException) and not text.strip() else text


def _instantiation(error: InstantiationException) -> str:
    """An object that could not be built: its key, and why."""
    text = str(error)
    cause = error.__cause__
    key = _last(re.findall(r"full_key: (\S+)", text))
    target = _last(re.findall(r"(?:target '|partial\()([\w.]+)", text))
    where = f"{key or 'the configuration'} ({target})" if target else key or "the configuration"
    if isinstance(cause, InstantiationException):
        return _instantiation(cause)
    if isinstance(cause, TypeError) and "argument" in str(cause):
        return f"{where}: {cause}{_arguments(target, str(cause))}"
    if cause is not None:
        return f"{where}: {cause}" if isinstance(cause, _MENDABLE) else f"{where}: {cause!r}"
    return text


def _value(error: BaseException) -> str:
    """A missing, mistyped or unresolvable value."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    key = _last(re.findall(r"full_key: (\S+)", str(error)))
    if lines and "Missing mandatory value" in lines[0]:
        return f"{key} needs a value: {key}=..."
    if group := _left_out(str(error)):
        return f"{group}: nothing is chosen, and the job needs it; choose {', '.join(options(group))}"
    return f"{key}: {lines[0]}" if key and lines else str(error)


def _left_out(text: str) -> str | None:
    """The group without which a configuration was built or resolved, as after ~denoiser or metrics=[]."""
    found = re.search(r"Key '(\w+)' is not in struct|Interpolation key '(\w+)' not found", text)
    name = found[1] or found[2] if found else ""
    return next((group for group in (name, f"generation/{name}") if name and options(group)), None)


def near(key: str, job: str, overrides: Sequence[str]) -> str:
    """A hint at the key that is meant: another program's name for it, one of another option, or one that resembles it.

    Returns:
        "; did you mean ...?", or where to look if nothing is near or the rest of the command line does not compose.
    """
    keys = list(_settings(job, [word for word in overrides if key not in word]))
    wanted = key.lstrip("+~")
    if today := MOVED.get((job, wanted)):
        return f"; it is called {today} now"
    leaf = wanted.rsplit(".", 1)[-1]
    known = [name for name in ELSEWHERE.get(leaf, ()) if name in keys or options(name)]
    if known:
        return f"; did you mean {known[0]}?"
    if elsewhere := _elsewhere(wanted) or _of_others(wanted, job):
        return elsewhere
    close = difflib.get_close_matches(wanted, keys, n=3, cutoff=0.7)
    leaves = {known: difflib.SequenceMatcher(None, known.rsplit(".", 1)[-1], leaf).ratio() for known in keys}
    alike = [known for known in sorted(keys, key=lambda known: -leaves[known]) if leaves[known] > 0.8]
    hints = list(dict.fromkeys([*close, *alike]))[:4]
    return f"; did you mean {_either(hints)}?" if hints else f"; ip2p {job} --cfg job shows every key"


def _elsewhere(key: str) -> str:
    """A hint at the option of the key's group that has it: `data.path` is one of `data=shards`."""
    group, _, rest = key.lstrip("+").partition(".")
    group = group if options(group) else f"generation/{group}"
    having = [
        option
        for option in options(group)
        if rest and rest.split(".")[0] in set(OmegaConf.load(config_dir() / group / f"{option}.yaml"))  # also "???"
    ]
    option = "shards" if "shards" in having else next(iter(having), None)
    return f"; {group}={option} has it: {group}={option} {key.lstrip('+')}=..." if option else ""


def _of_others(key: str, job: str) -> str:
    """A hint at the commands, or at the methods of training, that have what this one has not."""
    name, _, command = job.partition(" ")
    if command:
        having = [other for other in JOBS[name].commands or () if _has(f"{name} {other}", key)]
        return f"; it belongs to ip2p {name} {', '.join(having)}" if having else ""
    methods = [method for method in options("method") if name == "train" and key in groups(name, {"method": method})]
    return f"; it is a part of method={', '.join(methods)}" if methods else ""


def _has(job: str, key: str) -> bool:
    return key in groups(job) or any(word.startswith(f"{key}=") for word in primary_keys(job))


def _missing(job: str, overrides: Sequence[str]) -> str:
    """The keys that need a value; "" if they cannot be determined."""
    keys = [key for key, value in _settings(job, overrides).items() if value == "???"]
    needs = "needs a value" if len(keys) == 1 else "need values"
    return f"{', '.join(keys)} {needs}: {' '.join(f'{key}=...' for key in keys)}" if keys else ""


def _settings(job: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> value as written, for what the command line composes to; empty if it does not."""
    own = [word for flag, word in pairwise(overrides) if flag in {"--config-dir", "-cd"}]
    paths = [f"hydra.searchpath=[{','.join(f'file://{Path(folder).resolve()}' for folder in own)}]"] if own else []
    try:
        words = [as_written(job, word) for word in overrides if "=" in word and not word.startswith("-")]
        config = compose(job, [*paths, *words])
    except Exception:  # there may be more than one mistake
        return {}
    return dict(walk(OmegaConf.to_container(config, resolve=False)))


def _arguments(target: str | None, text: str) -> str:
    """The arguments a target does take, for an argument that it does not."""
    found = re.search(r"unexpected keyword argument '(\w+)'", text)
    if not found or not target:
        return ""
    try:
        known = [name for name in inspect.signature(get_object(target)).parameters if name != "self"]
    except (ImportError, HydraException, TypeError, ValueError):
        return ""
    close = difflib.get_close_matches(found.group(1), known, n=2)
    return f"; did you mean {_either(close)}?" if close else f"; it takes {', '.join(known)}"


def _either(words: Sequence[str] | Iterator[str]) -> str:
    return " or ".join(words)


def _last(found: Sequence[str]) -> str | None:
    return found[-1] if found else None
