"""Pages of the site that are made from the project itself: a hook of mkdocs, see `mkdocs.yml`.

`reference/commands.md` is the help of every job, `reference/<package>.md` the docstrings of a package; `overview.md`,
`contributing.md`, `security.md` and `changelog.md` are the files at the top of the repository. Links to these files
lead to their pages; links to other files of the repository become their path: the site has no repository.
`notebooks/` has the executed notebooks, see `notebook_pages.py`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import ip2p_lightning
from ip2p_lightning.jobs.guide import JOBS, job_help, overview

sys.path.append(str(Path(__file__).parent))
from notebook_pages import page_of

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""File at the top of the repository -> its page."""
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")


def packages() -> list[str]:
    """Names of the package's rooms that have an interface of their own, sorted."""
    folders = (ROOT / "ip2p_lightning").glob("*/__init__.py")
    return sorted(folder.parent.name for folder in folders if folder.parent.name not in ("jobs", "schema"))


def on_config(config: Any) -> Any:
    """List the packages in the navigation."""
    reference = next(part["Reference"] for part in config.nav if "Reference" in part)
    reference += [{name: f"reference/{name}.md"} for name in packages()]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the made pages."""
    for name, page in TOP.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text.replace("](README.md)", "](overview.md)")))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    files.append(File.generated(config, "reference/front_door.md", content=front_door()))
    for name in packages():
        content = f"# ip2p_lightning.{name}\n\n::: ip2p_lightning.{name}\n    options: {{show_root_heading: false}}\n"
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, images = page_of(notebook)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
        for name, content in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Lead links to files of the repository to their pages, or to their name."""

    def mended(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        name = target.removeprefix("../")
        if name in TOP:
            return f"[{words}]({TOP[name]}{anchor})"
        if not target or target == "./":
            return f"[{words}](README.md)"
        if target.startswith("../") or (page.file.generated_by and files.get_file_from_path(target) is None):
            return words if name in words or f"`{name}`" in words else f"{words} (`{name}`)"
        return match[0]

    return _LINK.sub(mended, markdown)


def commands() -> str:
    """The help of `ip2p` and of every job, as a page."""
    parts = ["# Commands", "What `ip2p --help` and `ip2p <job> --help` print.", _block(overview())]
    for name, job in JOBS.items():
        parts += [f"## ip2p {name}", job.summary[:1].upper() + job.summary[1:] + ".", _block(job_help(name))]
        parts += [
            part
            for word, summary in (job.commands or {}).items()
            for part in (
                f"### ip2p {name} {word}",
                summary[:1].upper() + summary[1:] + ".",
                _block(job_help(name, [word])),
            )
        ]
    return "\n\n".join(parts) + "\n"


def front_door() -> str:
    """The names of `import ip2p_lightning as ip2p`."""
    parts = ["# Front door", "What `import ip2p_lightning as ip2p` offers; a name is imported when it is first used."]
    for name in ip2p_lightning.__all__:
        home = ip2p_lightning._HOMES[name]
        path = home if home == name else f"{home}.{name}"
        options = "\n    options: {show_submodules: false, members: false}" if home == name else ""
        parts.append(f"::: ip2p_lightning.{path}{options}")
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
