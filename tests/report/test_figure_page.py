"""Pages around figures are one safe file each, and read well on a phone, in the light and in the dark."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from browser import Tags, seen_in_a_browser
from rich.table import Table

from ip2p_lightning.report.figure_page import FigurePage, Grid, settings, write_figure_page
from ip2p_lightning.report.plotting import new_figure, save_figure

FACTS = {
    "editor": "TrainedEditor",
    "sha256": {"1": "a" * 16, "2": "b" * 16},
    "seeds": [0, 1],
    "data": {"name": "world", "licence": "CC0-1.0", "fingerprint": "f" * 16},
    "draw": {"count": 8, "of": 40, "seed": 0},
    "software": {"torch": "2"},
    "long": "x" * 300,
}


@pytest.fixture
def page(tmp_path: Path) -> str:
    figure, axes = new_figure(columns=4)  # as wide as any
    axes[0].plot([0, 1], [0, 1])
    svg, _ = save_figure(figure, tmp_path / "drift")
    table = Table("step", *(f"column {number}" for number in range(9)), title="values <by> step")
    table.add_row("1", *["0.12 (0.10 to 0.14)"] * 9)
    told = FigurePage(
        title="How <much> & why",
        lede="A paragraph.",
        figures={"Drift": svg},
        tables=[Grid.of(table)],
        findings=[("confirmed", "it <holds>"), ("missing", "a run")],
        provenance=FACTS,
    )
    return write_figure_page(told, tmp_path / "new" / "report.html").read_text(encoding="utf-8")


def test_one_safe_file_with_the_figure_inside(page: str, tmp_path: Path) -> None:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    names = {name for name, _ in tags.seen}
    assert not names & {"script", "iframe", "object", "embed", "form"}
    addresses = [attributes[key] for _, attributes in tags.seen for key in ("src", "href") if key in attributes]
    assert all((address or "").startswith("data:") for address in addresses)
    assert "url(" not in page
    image = base64.b64decode(page.split("data:image/svg+xml;base64,")[1].split('"')[0])
    assert image == (tmp_path / "drift.svg").read_bytes()
    for text in ("How &lt;much&gt; &amp; why", "values &lt;by&gt; step", "it &lt;holds&gt;", "0.12 (0.10 to 0.14)"):
        assert text in page


def test_settings_say_which_weights_and_pairs() -> None:
    lines = settings(FACTS)
    assert lines["sha256"] == f"1: {'a' * 16}, 2: {'b' * 16}"
    assert lines["pairs"] == "world, 8 of 40"
    assert lines["seeds"] == "0, 1"
    assert settings({}) == {}


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_reads_well_on_a_phone_and_on_a_screen(page: str, scheme: str, tmp_path: Path) -> None:
    assert [found["images"] for found in seen_in_a_browser(page, scheme, tmp_path)] == [1, 1]
