"""Tab completion for bash: jobs, their commands, config groups, options, keys and files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ip2p_lightning.config import config_dir, config_name
from ip2p_lightning.jobs.guide import JOBS, options

# `compopt -o nospace` alone for words that go on ("experiment=", "trainer."): a finished word gets its space.
_BASH = r"""_ip2p_complete() {
    local words candidate
    words=$(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" "$1" --complete 2> /dev/null) || return
    COMPREPLY=()
    while IFS= read -r candidate; do
        [ -n "$candidate" ] && COMPREPLY+=("$candidate")
    done <<< "$words"
    if [ ${#COMPREPLY[@]} -eq 1 ]; then
        case "${COMPREPLY[0]}" in *=|*.|*/) compopt -o nospace ;; esac
    fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -F _ip2p_complete ip2p
"""


def script(shells: Sequence[str]) -> int:
    """Print the script that a shell evaluates to complete `ip2p`; exit code 2 for a shell other than bash."""
    if list(shells) not in ([], ["bash"]):
        print(f"ip2p completion: only bash is supported, not {' '.join(shells)}", file=sys.stderr)
        return 2
    print(_BASH, end="")
    return 0


def answer() -> int:
    """Print the completions of the line in COMP_LINE up to COMP_POINT, one a line."""
    line = os.environ.get("COMP_LINE", "")
    print("\n".join(candidates(line[: int(os.environ.get("COMP_POINT", len(line)))])))
    return 0


def candidates(line: str) -> list[str]:
    """Completions of the last word of `line` ("ip2p train exp").

    Args:
        line: the command line up to the cursor.
    """
    words = line.split()
    if not words or line[-1].isspace():
        words.append("")
    before, word = words[1:-1], words[-1]
    if len(words) < 3:
        return _starting([*JOBS, "completion", "--help", "--version"], word)
    job = before[0] if before else ""
    if job not in JOBS:
        return []
    commands = JOBS[job].commands or {}
    if commands and len(before) == 1:
        return _starting(list(commands), word)
    if word.startswith("-"):
        return _starting(["--help", "--cfg", "--config-dir", "--debug", "-m"], word)
    subject, rest = (f"{job} {before[1]}", before[2:]) if commands else (job, before[1:])
    return _overrides(subject, rest, word)


def _overrides(job: str, before: list[str], word: str) -> list[str]:
    key, equals, value = word.partition("=")
    if equals and key in {"checkpoint", "ckpt", "image", "folder", "output"}:
        return [f"{key}={path}" for path in _files(value)]
    if equals and (own := [name for name in options(key) if name.startswith(value)]):
        return [f"{key}={name}" for name in own]  # Hydra's would stop at the sub-folders of a group
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra._internal.utils import create_config_search_path

    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(config_dir())))
    overrides = [w for w in before if "=" in w and not w.startswith("-")]
    found = BashCompletion(loader)._query(config_name=config_name(job), line=" ".join([*overrides, word]))
    found = [f"{match[:-1]}=" if match.endswith("/") else match for match in found]
    return [match for match in found if not match.startswith("hydra") or word.startswith("hydra")]


def _files(start: str) -> list[str]:
    folder = Path(start if start.endswith("/") else os.path.dirname(start) or ".")
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    head = start[: len(start) - len(os.path.basename(start))]
    names = [f"{head}{entry.name}{'/' if entry.is_dir() else ''}" for entry in entries]
    return _starting(names, start)


def _starting(words: Sequence[str], start: str) -> list[str]:
    return [word for word in words if word.startswith(start)]
