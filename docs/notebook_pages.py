"""Pages of the site that are made from `notebooks/`: cells and what they printed, images as files next to the page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import nbformat

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg"}


def page_of(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its images by the names that the page links to.

    Args:
        notebook: an executed `.ipynb`.

    Raises:
        ValueError: an output of another kind than text, PNG and JPEG, which the page would leave out.
    """
    parts, images = [], {}
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(_fenced(cell.source, "python"))
        for output in cell.outputs:
            data: Any = output.get("data", {})
            if output.output_type == "stream":
                parts.append(_fenced(output.text, "text"))
            elif kind := next((one for one in _ENDINGS if one in data), None):
                name = f"{notebook.stem}-{len(images) + 1}.{_ENDINGS[kind]}"
                images[name] = base64.b64decode(data[kind])
                parts.append(f"![{data.get('text/plain', 'an image')}]({name})")
            elif "text/plain" in data:
                parts += [_fenced(data["text/plain"], "text")] if data["text/plain"].strip() else []
            else:
                raise ValueError(
                    f"{notebook.name}: an output of {output.output_type}; notebooks show text, PNG and JPEG"
                )
    parts.append(f"The notebook itself: `notebooks/{notebook.name}` of the repository.")
    return "\n\n".join(parts) + "\n", images


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
