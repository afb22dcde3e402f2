"""Types of constructors' arguments, read from the source of the package without importing it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ip2p_lightning.schema.kinds import FLAG, LOOSE, number, whole

_ROOT = Path(__file__).resolve().parents[2]
_NAMES: dict[str, Any] = {
    "int": whole(),
    "float": number(),
    "bool": FLAG,
    "str": LOOSE,
    "Path": LOOSE,
    "Literal": Literal,
    "Sequence": list,
    "Iterable": list,
    "list": list,
    "Mapping": dict,
    "dict": dict,
}
"""Names of which annotations may consist; an argument with any other name in its type is not checked."""


def arguments(target: str) -> dict[str, Any]:
    """Argument -> type, of a class, a named constructor or a function of the package; {} for any other `_target_`."""
    words = target.split(".")
    if words[0] != "ip2p_lightning":
        return {}
    types = {name: _type(annotation) for name, annotation in _annotated(tuple(words)).items()}
    return {name: kind for name, kind in types.items() if kind is not None}


def _annotated(words: tuple[str, ...]) -> dict[str, ast.expr]:
    """Argument -> annotation; those of bases, too, of a class without a constructor of its own or one that takes `**`.

    A named constructor that takes `**` has the arguments of its class.
    """
    found = _find(_ROOT, words)
    if isinstance(found, ast.FunctionDef):
        of_class = _annotated(words[:-1]) if found.args.kwarg and len(words) > 2 else {}
        return of_class | _of_function(found)
    if not isinstance(found, ast.ClassDef):
        return {}
    init = next((part for part in found.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    if init is not None and init.args.kwarg is None:
        return _of_function(init)
    bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
    inherited: dict[str, ast.expr] = {}
    for base in bases:
        inherited |= _annotated((*words[:-1], base))
    if init is not None:
        return inherited | _of_function(init)
    return inherited | {
        part.target.id: part.annotation
        for part in found.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }


def _of_function(found: ast.FunctionDef) -> dict[str, ast.expr]:
    given = (*found.args.args, *found.args.kwonlyargs)
    return {each.arg: each.annotation for each in given if each.annotation is not None}


def _find(folder: Path, words: tuple[str, ...]) -> ast.stmt | None:
    """The class or function that dotted words name below a folder, re-exported ones included."""
    path, rest = folder, words
    while rest and (path / rest[0]).is_dir():
        path, rest = path / rest[0], rest[1:]
    module = path / f"{rest[0]}.py" if rest and (path / f"{rest[0]}.py").is_file() else path / "__init__.py"
    rest = rest[1:] if module.name != "__init__.py" else rest
    if not rest or not module.is_file():
        return None
    body: list[ast.stmt] = _parsed(module).body
    found: ast.stmt | None = None
    for word in rest:
        for part in body:
            if isinstance(part, ast.ImportFrom) and any((alias.asname or alias.name) == word for alias in part.names):
                return _find(_ROOT, (*str(part.module).split("."), *rest)) if part.level == 0 else None
        found = next((part for part in body if getattr(part, "name", None) == word), None)
        if found is None:
            return None
        body = getattr(found, "body", [])
    return found


@cache
def _parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def _type(annotation: ast.expr) -> Any | None:
    try:
        return eval(ast.unparse(annotation), {"__builtins__": {}}, dict(_NAMES))  # the package's own source
    except (NameError, AttributeError, TypeError):  # a name that is not in the list
        return None
