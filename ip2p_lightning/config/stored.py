"""Objects from a configuration that came with a file: it is data that chooses among what the program can build.

`trust` says what may be built, `arguments` which values may be given to it, `budget` how large it may become. Nothing
is read from a place that the configuration names, and nothing is fetched.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ip2p_lightning.config.arguments import fits, is_name, is_plain, parameters, shown
from ip2p_lightning.config.compose import plain
from ip2p_lightning.config.parts import place_of
from ip2p_lightning.config.sizes import SizeError, check_sizes
from ip2p_lightning.config.trust import Target, Trust, TrustError, find
from ip2p_lightning.limits import JSON_BYTES, STORED_DEPTH, STORED_VALUES, LimitError
from ip2p_lightning.shipped import is_shipped


class StoredConfigError(ValueError):
    """A stored configuration that cannot be built; the message names the key."""


def instantiate_trusted(
    config: Mapping[str, Any],
    *,
    trust: Trust | Iterable[str] | None = None,
    without: Collection[str] = (),
    budget: AbstractContextManager[Any] | None = None,
    **arguments: Any,
) -> Any:
    """Build an object from a configuration that came with a checkpoint, which somebody else may have written.

    Args:
        config: resolved, with `_target_` keys.
        trust: of the user, see `Trust.of`; never from the file itself.
        without: names of arguments that are given as None and whose values are not looked at.
        budget: entered around each call that builds something; None for no bound.
        arguments: ready objects for the outermost target.

    Raises:
        TrustError: a `_target_` that is not on the list, or weights from a place that the user has not named.
        StoredConfigError: arguments of other names or types, or values that do not make an object.
        LimitError: more values, levels or steps than the limits allow, or networks beyond the budget.
    """
    config = plain(config)
    check_bounds(config)
    try:
        check_sizes(config, "stored configuration")
    except SizeError as error:
        raise StoredConfigError(str(error)) from error
    trust = trust if isinstance(trust, Trust) else Trust.of(trust)
    builder = _Builder(trust, frozenset(without), budget or nullcontext())
    builder.check_targets(config, "")  # all of them before anything is built
    return builder.build(config, "", arguments)


def check_bounds(config: Any, origin: str = "stored configuration") -> None:
    """Count the values and levels of nested data, shared and circular ones included, up to the limits.

    Raises:
        LimitError: too many.
    """
    count, depth, level = 0, 0, [config]
    while level:
        STORED_DEPTH.check(depth, origin)
        below: list[Any] = []
        for node in level:
            children = _children(node)
            count += len(children)
            STORED_VALUES.check(count, origin)
            below += [child for _, child in children]
        depth, level = depth + 1, below


def read_stored_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file next to a checkpoint as plain data: bounded, and with nothing looked up that it refers to.

    Raises:
        StoredConfigError: no YAML, or no mapping.
        LimitError: beyond the limits.
    """
    import yaml
    from omegaconf import OmegaConf

    JSON_BYTES.check(Path(path).stat().st_size, path)
    try:
        text = Path(path).read_text(encoding="utf-8")
        first = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise StoredConfigError(f"{path}: not readable as YAML ({str(error).splitlines()[0]})") from error
    check_bounds(first, str(path))
    if not isinstance(first, Mapping):
        raise StoredConfigError(f"{path}: no configuration (a mapping of keys to values)")
    return OmegaConf.to_container(OmegaConf.create(text), resolve=False)  # type: ignore[return-value]  # reads 1e-3 as a number


@contextmanager
def offline() -> Iterator[None]:
    """Keep huggingface_hub, and what is built on it, from the network within the block."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


class _Builder:
    def __init__(self, trust: Trust, without: frozenset[str], budget: AbstractContextManager[Any]) -> None:
        self.trust, self.without, self.budget = trust, without, budget

    def check_targets(self, node: Any, key: str) -> None:
        """Raise at the first `_target_` that is not on the list."""
        for name, child in _children(node):
            below = f"{key}.{name}" if key else str(name)
            if name == "_target_":
                find(child, below, self.trust)
            elif name not in self.without:
                self.check_targets(child, below)

    def value(self, node: Any, key: str) -> Any:
        """A value with everything in it that has a `_target_` built."""
        if isinstance(node, Mapping):
            if "_target_" in node:
                return self.build(node, key, {})
            return {name: self.value(child, f"{key}.{name}") for name, child in node.items()}
        if isinstance(node, list | tuple):
            return [self.value(child, f"{key}.{number}") for number, child in enumerate(node)]
        _no_interpolation(key, node)
        return node

    def build(self, node: Mapping[str, Any], key: str, ready: Mapping[str, Any]) -> Any:
        below = f"{key}." if key else ""
        name = node.get("_target_")
        target = find(name, f"{below}_target_", self.trust)
        stored = {argument: value for argument, value in node.items() if argument != "_target_"}
        partial = stored.pop("_partial_", False)
        known = parameters(target.call)
        for argument in stored:
            if argument not in known:
                raise StoredConfigError(
                    f"stored configuration: {below}{argument} = {shown(stored[argument])}: {name} takes no such "
                    f"argument from a checkpoint; it takes {', '.join(known) or 'none'}"
                )
        given = {
            argument: None if argument in self.without else self.value(value, f"{below}{argument}")
            for argument, value in stored.items()
        }
        for argument, value in given.items():
            self._check(target, f"{below}{argument}", value, known[argument])
        return self._call(target, key or "the whole", {**given, **ready}, partial)

    def _check(self, target: Target, key: str, value: Any, hint: Any) -> None:
        place = place_of(target.call)
        if place and key.rpartition(".")[2] == place:
            if value is None or (isinstance(value, str) and (value in self.trust.places or is_shipped(value))):
                return
            told = shown(value, 200)
            raise TrustError(
                f"stored configuration: {key} refers to weights in {told}, which the checkpoint does not hold and may "
                f"not fetch. If they are to be read from there, say so: trust=[{told}] (or IP2P_TRUST); for a copy "
                "elsewhere: trust=['NAME=FOLDER'] with that name"
            )
        if target.library:
            right = is_plain(value) or type(value).__module__.startswith("transformers.models.")
        else:
            right = fits(value, hint) and (place is None or is_name(value))
        if not right:
            raise StoredConfigError(
                f"stored configuration: {key} = {shown(value)} is no value that {target.call.__name__} takes from "
                "a checkpoint"
            )

    def _call(self, target: Target, key: str, given: dict[str, Any], partial: Any) -> Any:
        call, place = target.call, place_of(target.call)
        if partial is True and target.library and call.__module__.startswith("torch.optim."):
            return functools.partial(call, **given)
        if partial is not False:
            raise StoredConfigError(f"stored configuration: {key} asks for _partial_, which optimizers alone are")
        if place and given.get(place) is not None:  # the user has named the place, or it is this package
            given[place] = self.trust.places.get(given[place], given[place])
            return call(**given)
        try:
            with self.budget, offline():
                return call(**given)
        except (LimitError, StoredConfigError):
            raise
        except Exception as error:  # constructors raise many types at values that do not fit together
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise StoredConfigError(f"stored configuration: {key} ({call.__name__}): {reason}") from error


def _children(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, Mapping):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list | tuple) else []


def _no_interpolation(key: str, value: Any) -> None:
    if isinstance(value, str) and "${" in value:
        raise StoredConfigError(
            f"stored configuration: {key} = {value[:80]!r} is an interpolation; store resolved values only"
        )
