"""The files of a model folder as data: what they are and what they state, checked before a library opens them."""

from __future__ import annotations

import json
import math
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.config.sizes import SizeError, check_sizes
from ip2p_lightning.limits import COUNTS, JSON_BYTES, JSON_DEPTH, TOKENIZER_BYTES, Limit

_READ = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".gguf")
"""Endings of what libraries read."""
_SETTINGS = ("config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json")
_TABLES = ("tokenizer.json", "vocab.json")
_INDEX = ".safetensors.index.json"
_HEADER_BYTES = 8


class WeightsError(ValueError):
    """Weights that cannot be used; the message names them, what is there instead, and what to do."""


class MissingWeightsError(WeightsError, FileNotFoundError):
    """Weights that are not there, or cannot be reached."""


def check_folder(folder: Path, root: Path | None = None) -> None:
    """Check everything in a folder that a library will read.

    Args:
        folder: of one network, tokenizer or schedule.
        root: the folder that was given, of which it is a part; links may lead to anywhere in it.

    Raises:
        WeightsError: links out of the folder, no regular files, settings that are no JSON object, or an index of
            shards that does not list what they hold.
        LimitError: more bytes, levels, layers or steps than the limits allow.
    """
    for path in sorted(folder.iterdir()):
        name = path.name
        if not name.endswith(_READ) or path.is_dir():
            continue
        check_file(path, root or folder)
        if name.endswith(_SETTINGS):
            settings = read_settings(path)
            if not name.endswith(("tokenizer_config.json", "tokens.json")):
                _check_sizes(settings, path)
        elif name in _TABLES:
            read_object(path, TOKENIZER_BYTES)
        elif name.endswith(_INDEX) or (".index." in name and name.endswith(".json")):
            _check_shards(path)


def read_settings(path: Path) -> dict[str, Any]:
    """A small JSON object of a model folder, no larger and no deeper than the limits.

    Raises:
        WeightsError: no such file, no JSON object, or NaN in it; LimitError where it is too large.
    """
    return read_object(path, JSON_BYTES)


def read_object(path: Path, limit: Limit) -> dict[str, Any]:
    """As `read_settings`, of another size."""
    try:
        size = path.stat()
    except OSError as error:
        raise MissingWeightsError(f"{path} is not there ({error.strerror}); copy the whole folder") from error
    if not stat.S_ISREG(size.st_mode):
        raise WeightsError(f"{path} is no regular file; copy the folder again")
    limit.check(size.st_size, path)
    try:
        value = parse_json(path.read_bytes(), limit=limit, depth=JSON_DEPTH, not_a_number="keep")
    except TextError as error:
        raise WeightsError(f"{path} is no JSON ({error}); copy the folder again") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} is no JSON object; copy the folder again")
    for key, found in _numbers(value):
        if math.isnan(found):
            raise WeightsError(f"{path}: {key} is NaN; copy the folder again")
    return value


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from _numbers(child, name)
    elif isinstance(value, list):
        for child in value:
            yield from _numbers(child, key)


def _check_sizes(settings: Mapping[str, Any], path: Path) -> None:
    try:
        check_sizes(settings, path)
    except SizeError as error:
        raise WeightsError(str(error)) from error


def _roots(root: Path) -> tuple[Path, ...]:
    """Allowed targets of a folder's links: into itself and, in the hub's cache, to the repository's blobs."""
    whole = root.resolve()
    cache = next((place.parent for place in (whole, *whole.parents) if place.name == "snapshots"), None)
    return (whole, cache / "blobs") if cache else (whole,)


def check_file(path: Path, root: Path) -> None:
    """Check that a file of a folder is one, and that it lies there; errors as for `check_folder`."""
    try:
        target = path.resolve(strict=True)
        regular = target.is_file()
    except (OSError, RuntimeError) as error:  # a loop, a dangling link
        raise WeightsError(f"{path} is a link that leads nowhere; copy the folder again") from error
    if not regular:
        raise WeightsError(f"{path} is no regular file; copy the folder again")
    if not any(target.is_relative_to(place) for place in _roots(root)):
        raise WeightsError(
            f"{path} is a link out of the folder, to {target}; put the file itself there, or give the folder in which "
            "it lies"
        )


def _check_shards(index: Path) -> None:
    """The index of a model in several files: each tensor where it says, once, in files of this folder."""
    listed = read_settings(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise WeightsError(f"{index} lists no weights (`weight_map`); copy the folder again")
    for tensor, name in listed.items():
        if not isinstance(name, str) or not name or Path(name).name != name or "\0" in name:
            raise WeightsError(
                f"{index}: {tensor[:80]} is said to lie in {str(name)[:80]!r}, which is no file of this folder"
            )
    names = sorted(set(listed.values()))
    COUNTS.check(len(names), f"{index}: files")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise MissingWeightsError(
            f"{index} lists files that are not there: {', '.join(missing[:3])}{', ...' if missing[3:] else ''}; copy "
            "the whole folder"
        )
    if not index.name.endswith(_INDEX) and ".safetensors" not in index.name:
        return  # pickled shards, which are read as weights alone
    held = {name: tensor_names(index.parent / name) for name in names}
    counted = Counter(tensor for tensors in held.values() for tensor in tensors)
    wrong = next(
        (tensor for tensor, count in counted.items() if count > 1 or tensor not in listed),
        next((tensor for tensor, name in listed.items() if tensor not in held[name]), None),
    )
    if wrong is not None:
        raise WeightsError(
            f"{index} is not that of the files next to it: {wrong[:80]} lies in {counted[wrong]} of them and is listed "
            f"in {str(listed.get(wrong, 'none'))[:80]}; copy the whole folder"
        )


def tensor_names(path: Path) -> set[str]:
    """The names in the header of a safetensors file.

    Raises:
        WeightsError: no safetensors.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(_HEADER_BYTES), "little")
        if size > min(path.stat().st_size - _HEADER_BYTES, TOKENIZER_BYTES.value):
            raise WeightsError(f"{path} is no whole safetensors file: it is shorter than its header says")
        data = file.read(size)
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is no safetensors file; copy the folder again") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path} is no safetensors file; copy the folder again")
    return {name for name in header if name != "__metadata__"}
