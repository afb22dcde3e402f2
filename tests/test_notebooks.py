"""The notebooks: each runs from top to bottom in a kernel of its own, and the repository holds what it showed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = {
    "edit_and_converse": "SIDE = 64",
    "take_apart": "COUNT = 2",
    "train_and_measure": "EXPERIMENT, STEPS, COUNT = 'ip2p/tiny', 2, 8",
}
"""Notebook -> values that make it cheap, in place of its parameters."""


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(path, as_version=4)
    (parameters,) = [cell for cell in code(notebook) if "parameters" in cell.metadata.get("tags", [])]
    parameters.source += f"\n{SMALL[path.stem]}"
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in code(notebook) for output in cell.outputs]
    assert [output for output in shown if output.output_type == "error"] == []
    assert sum(bool({"image/png", "image/jpeg"} & output.get("data", {}).keys()) for output in shown) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_what_it_showed(path: Path) -> None:
    cells = code(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "make notebooks"
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/tmp/|/home/|/work/|Traceback|Warning", text)


def test_notebooks_are_small_and_all_are_listed() -> None:
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 1_000_000
    assert {path.stem for path in NOTEBOOKS} == SMALL.keys()
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(f"notebooks/{path.stem}.md" in navigation for path in NOTEBOOKS)


def test_a_page_shows_all_that_a_notebook_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from notebook_pages import page_of

    for path in NOTEBOOKS:
        text, images = page_of(path)
        assert re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text) == list(images)
        assert all(image.startswith((b"\x89PNG", b"\xff\xd8")) for image in images.values())
    html = nbformat.v4.new_output("display_data", {"text/html": "<script>"})
    strange = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[html])])
    nbformat.write(strange, tmp_path / "strange.ipynb")
    with pytest.raises(ValueError, match=r"strange\.ipynb: an output of display_data"):
        page_of(tmp_path / "strange.ipynb")
    monkeypatch.delitem(sys.modules, "notebook_pages")
