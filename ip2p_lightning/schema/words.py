"""Words of the command line as Hydra is given them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import accumulate

from hydra.core.override_parser.types import Quote, QuotedString

from ip2p_lightning.schema.keys import ELSEWHERE, kind_of
from ip2p_lightning.schema.kinds import Role, roles

_OVERRIDE = re.compile(r"(\+{0,2})([A-Za-z_][\w./@:-]*)=(.*)", re.DOTALL)
_SWEEP = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)


def as_written(job: str, word: str, multirun: bool = False) -> str:
    """An override whose value Hydra takes as it is written, where its key is free text or a path.

    The rule: the whole of what follows `=` is the value, with any punctuation, brackets and scripts, and `~` at the
    beginning of a path is the home folder. Exceptions: `null` is no value; `[a, b]` is a list, of which each entry is
    taken as it is written up to the comma; `{a: b}` is a mapping; a value or an entry within a pair of quotes is what
    they hold; with `-m`, commas separate the runs. `${...}` refers to other keys in paths, in texts it is text.

    Args:
        job: whose schema says which keys these are.
        word: `key=value`, `+key=value` or `++key=value`; anything else is given back unchanged.
        multirun: whether `-m` was given.
    """
    found = _OVERRIDE.fullmatch(word)
    meant = (found[2], *ELSEWHERE.get(found[2], ())) if found else ()  # a wrong name gets its hint, not the grammar's
    kind = next((kind for key in meant if (kind := kind_of(job, key)) is not None), None)
    role: Role | None = next(iter(sorted(roles(kind))), None) if kind is not None else None
    if found is None or role is None:
        return word
    sign, key, value = found.groups()
    if multirun and not _SWEEP.fullmatch(value.strip()):
        return f"{sign}{key}={','.join(_value(part, role) for part in _parts(value))}"
    return word if multirun else f"{sign}{key}={_value(value, role)}"


def _value(value: str, role: Role) -> str:
    bare = value.strip()
    if bare in ("null", "???") or _spans(bare, "{}") or _is_quoted(bare):
        return bare
    if _spans(bare, "[]"):
        return f"[{','.join(_value(entry.strip(), role) for entry in _parts(bare[1:-1]) if entry.strip())}]"
    if role != "text":
        return _quoted(os.path.expanduser(value)) if value else "''"
    return _quoted(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))  # OmegaConf's escape of an interpolation


def _quoted(text: str) -> str:
    return QuotedString(text=text, quote=Quote.single).with_quotes()


def _spans(value: str, pair: str) -> bool:
    """Whether the bracket that opens a value is closed by its last sign: "[a, b]", not "[a] and [b]"."""
    if value[:1] != pair[0] or value[-1:] != pair[1]:
        return False
    depths = list(accumulate((sign == pair[0]) - (sign == pair[1]) for sign in value))
    return all(depth > 0 for depth in depths[:-1])


def _is_quoted(value: str) -> bool:
    """Whether one pair of quotes spans a value."""
    return re.fullmatch(r"'(\\.|[^'\\])*'|\"(\\.|[^\"\\])*\"", value, re.DOTALL) is not None


def _parts(value: str) -> Iterator[str]:
    """What commas separate, but for those within quotes at the beginning of a part, and within brackets."""
    part, depth, quote = "", 0, ""
    for sign in value:
        if sign == "," and depth <= 0 and not quote:
            yield part
            part = ""
            continue
        if quote:
            quote = "" if sign == quote and not part.endswith("\\") else quote
        elif sign in "'\"" and not part.strip(" ["):
            quote = sign
        else:
            depth += (sign in "[{") - (sign in "]}")
        part += sign
    yield part
