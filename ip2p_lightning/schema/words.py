"""Words of the command line as Hydra is given them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import accumulate

from hydra.core.override_parser.types import Quote, QuotedString

from ip2p_lightning.schema.keys import kind_of
from ip2p_lightning.schema.kinds import Role, roles, untyped

ELSEWHERE = {
    "guidance_scale": ("text_scale", "guidance"),
    "cfg_scale": ("text_scale", "guidance"),
    "image_guidance_scale": ("image_scale",),
    "num_inference_steps": ("steps",),
    "inference_steps": ("steps",),
    "prompt": ("instruction",),
    "edit": ("instruction",),
    "num_images_per_prompt": ("samples", "seeds"),
    "n": ("samples", "seeds"),
    "generator": ("seeds", "seed"),
    "random_seed": ("seed", "seeds"),
    "model": ("checkpoint",),
    "pretrained_model_name_or_path": ("checkpoint",),
    "resume": ("ckpt",),
    "resume_from_checkpoint": ("ckpt",),
    "input": ("image", "path"),
    "data_dir": ("path", "data.path"),
    "dataset": ("path", "data.path"),
    "out": ("output",),
    "output_path": ("output",),
    "epochs": ("trainer.max_epochs",),
    "num_epochs": ("trainer.max_epochs",),
    "max_train_steps": ("trainer.max_steps",),
    "learning_rate": ("optimizer.lr",),
    "lr": ("optimizer.lr",),
    "train_batch_size": ("data.batch_size",),
    "gradient_accumulation_steps": ("trainer.accumulate_grad_batches",),
    "mixed_precision": ("trainer.precision",),
    "gpus": ("trainer.devices", "devices"),
    "server_name": ("host",),
    "server_port": ("port",),
    "api_key": ("key_file",),
    "num_workers": ("data.workers", "workers"),
    "wandb": ("logger",),
}
"""Names that other programs use -> ours, of which a job has at most the first that is there."""

MOVED = {
    ("generate", name): f"generation/{name}"
    for name in ("captions", "writer", "maker", "scorer", "search", "filter", "expander")
}
"""(job, group's old name) -> its name today."""

_OVERRIDE = re.compile(r"(\+{0,2})([A-Za-z_][\w./@:-]*)=(.*)", re.DOTALL)
_NAME = re.compile(r"[\w./ +@%-]+", re.ASCII)
_SCALAR = re.compile(r"true|false|[-+]?\d+(\.\d*)?(e[-+]?\d+)?", re.IGNORECASE)
_SWEEP = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)


def as_written(job: str, word: str, multirun: bool = False) -> str:
    """An override whose value Hydra takes as it is written, where its key is free text or a path.

    The rule: the whole of what follows `=` is the value, with any punctuation, brackets and scripts, and `~` at the
    beginning of a path is the home folder. Exceptions: `null` is no value; `[a, b]` is a list, of which each entry is
    taken as it is written up to the comma; `{a: b, c: d}` is a mapping, of which each value is taken as it is written
    (numbers, true and false are such where any value may stand); a value or an entry within a pair of quotes is what
    they hold; with `-m`, commas separate the runs. `${...}` refers to other keys in paths and mappings, in texts it is
    text.

    Args:
        job: whose schema says which keys these are.
        word: `key=value`, `+key=value` or `++key=value`; anything else is given back unchanged.
        multirun: whether `-m` was given.

    Raises:
        ValueError: a name in a mapping that Hydra's grammar cannot express, a group that has another name today, or a
            sentence with a comma under `-m`.
    """
    found = _OVERRIDE.fullmatch(word)
    if found and (today := MOVED.get((job, found[2]))) and not _spans(found[3].strip(), "{}"):
        raise ValueError(f"{word}: the group {found[2]} is called {today} now; write {today}={found[3]}")
    meant = (found[2], *ELSEWHERE.get(found[2], ())) if found else ()  # a wrong name gets its hint, not the grammar's
    kind = next((kind for key in meant if (kind := kind_of(job, key)) is not None), None)
    role: Role | None = next(iter(sorted(roles(kind))), None) if kind is not None else None
    if found is None or role is None:
        return word
    sign, key, value = found.groups()
    if multirun and _SWEEP.fullmatch(value.strip()):
        return word
    runs = list(_parts(value)) if multirun else [value]
    if role == "text" and any(run[:1].isspace() for run in runs[1:]):
        raise ValueError(
            f"{key}={value}: with -m a comma separates the runs; for one text with a comma write "
            f"'{key}=\"{value}\"', for several runs leave out the space after the comma"
        )
    try:
        return f"{sign}{key}={','.join(_value(run, role, untyped(kind)) for run in runs)}"
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _value(value: str, role: Role, loose: bool) -> str:
    bare = value.strip()
    if bare in ("null", "???") or _is_quoted(bare):
        return bare
    if _spans(bare, "[]"):
        return f"[{','.join(_value(entry.strip(), role, loose) for entry in _parts(bare[1:-1]) if entry.strip())}]"
    if _spans(bare, "{}"):
        entries = [entry.partition(":") for entry in _parts(bare[1:-1], named=True) if entry.strip()]
        if all(colon for _, colon, _ in entries):
            return f"{{{','.join(f'{_name(name)}:{_inner(inner, loose)}' for name, _, inner in entries)}}}"
    if role != "text":
        return _quoted(os.path.expanduser(value)) if value else "''"
    return _quoted(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))  # OmegaConf's escape of an interpolation


def _inner(value: str, loose: bool) -> str:
    """A value of a mapping: a path, or a plain value where anything may stand."""
    bare = value.strip()
    return bare if loose and _SCALAR.fullmatch(bare) else _value(bare, "path", loose)


def _name(name: str) -> str:
    """A name of a mapping, with the signs that mean something to Hydra escaped."""
    bare = name.strip()
    bare = bare[1:-1] if _is_quoted(bare) else bare
    if not _NAME.fullmatch(bare):
        raise ValueError(
            f"the name {bare!r} in a mapping cannot be given on the command line; use letters from a to z, digits, "
            "spaces, and _ - . /"
        )
    return bare.replace(" ", "\\ ")


def _quoted(text: str) -> str:
    return QuotedString(text=text, quote=Quote.single).with_quotes()


def _spans(value: str, pair: str) -> bool:
    """True if the bracket that opens a value is closed by its last sign: "[a, b]", not "[a] and [b]"."""
    if value[:1] != pair[0] or value[-1:] != pair[1]:
        return False
    depths = list(accumulate((sign == pair[0]) - (sign == pair[1]) for sign in value))
    return all(depth > 0 for depth in depths[:-1])


def _is_quoted(value: str) -> bool:
    """True if one pair of quotes spans a value."""
    return re.fullmatch(r"'(\\.|[^'\\])*'|\"(\\.|[^\"\\])*\"", value, re.DOTALL) is not None


def _parts(value: str, named: bool = False) -> Iterator[str]:
    """Parts between commas, except commas within brackets and within quotes at the beginning of a part or its value."""
    part, depth, quote = "", 0, ""
    for sign in value:
        if sign == "," and depth <= 0 and not quote:
            yield part
            part = ""
            continue
        if quote:
            quote = "" if sign == quote and not part.endswith("\\") else quote
        elif sign in "'\"" and not (part.partition(":")[2] if named else part).strip(" ["):
            quote = sign
        else:
            depth += (sign in "[{") - (sign in "]}")
        part += sign
    yield part
