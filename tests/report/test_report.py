"""The page is one safe file: no script, no address, everything escaped; and it fits a phone."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Tags, seen_in_a_browser
from PIL import Image

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.benchmark import SETS, WorldBenchmark
from ip2p_lightning.evaluation.evaluate import ExampleSelection
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.evaluation.probes import probes
from ip2p_lightning.metrics import L1, PSNR, CloserThanInput, CopyRate
from ip2p_lightning.report.curves import Curve
from ip2p_lightning.report.report import Command, Report, TrainingRun, data_url, render_report, words, write_report

PICTURES = 3 * (8 + 3 * 3 + 6 + 2)
"""Edits at random of both sets, of three kinds of scenes, and the worst of photographs."""


@pytest.fixture(scope="module")
def report(scene_result: EvaluationResult, photo_result: EvaluationResult) -> Report:
    steps = tuple(range(0, 200, 10))
    curve = Curve("editing loss", steps, tuple(1 / (1 + step) for step in steps))
    return Report(
        title="Edit by <saying> so & more",
        lede="A short paragraph.",
        results=[scene_result, photo_result],
        runs=[TrainingRun("InstructPix2Pix", "Twenty points.", [curve], 61)],
        phases=[("render pairs", 3.2), ("train", 61.0)],
        machine="2 cores",
        settings={"seed": 0},
        commands=[Command("Edit", 'ip2p edit instruction="make it winter"')],
    )


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_report(report)


def test_well_formed_without_scripts_or_addresses(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    names = {name for name, _ in tags.seen}
    assert not names & {"script", "iframe", "object", "embed", "form"}
    for name, attributes in tags.seen:
        for key in ("src", "href", "srcset", "action"):
            if key in attributes:
                assert (attributes[key] or "").startswith("data:"), (name, key)
        assert not any(key.startswith("on") for key in attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_pictures_are_the_examples(page: str, scene_result: EvaluationResult) -> None:
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(sources) == PICTURES
    first = Image.open(io.BytesIO(base64.b64decode(sources[0])))
    assert np.array_equal(np.asarray(first), np.asarray(scene_result.examples[0].original))


def test_texts_are_escaped(report: Report, scene_result: EvaluationResult) -> None:
    evil = replace(
        scene_result.examples[0], instruction="<img src=x onerror=alert(1)>", written_instruction="<b>hi</b> x"
    )
    result = EvaluationResult("a <set>", scene_result.rows, scene_result.metrics, [evil])
    page = render_report(replace(report, results=[result]))
    assert "<img src=x" not in page
    assert "<b>hi" not in page
    assert "Edit by &lt;saying&gt; so &amp; more" in page


def test_figures_of_the_page_are_those_of_the_result(page: str, scene_result: EvaluationResult) -> None:
    error = scene_result.figures["error"]
    assert f"<b>{error.ours.estimate:.1f}<small>" in page
    assert "What it cannot do yet" in page
    assert "1 min 1 s" in page
    assert "prefers-color-scheme: dark" in page


def test_a_report_of_nothing_but_a_title(tmp_path: Path) -> None:
    file = write_report(Report("Empty", "Nothing yet.", []), tmp_path / "new" / "report.html")
    assert "Nothing yet." in file.read_text()


def test_nothing_is_claimed_of_what_was_not_measured(scenes: WorldSource, part_way: Any) -> None:
    """A copying editor beats nothing, whatever it is measured by."""
    beats = "beats copying the input"
    page = render_report(Report("title", "lede", [evaluate(CopyInput(), scenes, {"l1": L1()})]))
    assert beats not in page
    assert "the error was not measured" in page
    many = WorldSource(24, split="test", kinds=["recolour", "time"])
    good = evaluate(part_way(many, 0.9, 0.0, texts=False), many, {"error": L1(255)})
    assert beats in render_report(Report("title", "lede", [good]))
    none = evaluate(CopyInput(), scenes, {"copy_rate": CopyRate()}, kept=ExampleSelection(kinds=3))
    assert none.main is None
    assert not any(none.by_kind[name] for name in ("best", "worst"))
    assert beats not in render_report(Report("title", "lede", [none]))


def test_another_metric_leads_where_the_error_is_not_measured(scenes: WorldSource, part_way: Any) -> None:
    metrics = {"copy_rate": CopyRate(), "psnr": PSNR(), "l1": L1()}
    editor = part_way(scenes, {"remove": -0.2}, 0.01)
    result = evaluate(editor, scenes, metrics, kept=ExampleSelection(4, 2, kinds=3))
    assert result.main == "psnr"
    assert all(len(result.by_kind[name]) == 3 for name in ("best", "worst"))
    gains = [example.values["psnr"] - example.values["copying_psnr"] for example in result.worst]
    assert gains == sorted(gains)
    page = render_report(Report("title", "lede", [result]))
    figure = result.figures["psnr"]
    assert f"<b>{figure.ours.estimate:.1f}<small>" in page
    assert '<th class="plot">' not in page
    table = page.split("<h2>In figures</h2>")[1].split("</table>")[0]
    remove = table.split("<td>remove</td>")[1].split("</tr>")[0]
    assert f'<span class="worse">{result.kinds["remove"]["psnr"].ours.estimate:.1f}</span>' in remove


def test_words_that_differ_are_marked() -> None:
    assert str(words("a red <tent> now", "a blue <tent> now")) == "a <mark>red</mark> &lt;tent&gt; now"
    assert str(words("same", "same")) == "same"
    assert str(words("", "something")) == ""


def test_large_pictures_are_shrunk() -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(data_url(Image.new("RGB", (2000, 1000))).split(",")[1])))
    assert picture.size == (384, 192)


def test_a_benchmark_is_told_probe_by_probe(report: Report, part_way: Any) -> None:
    source = WorldBenchmark(2, 32)
    metrics = {"error": L1(255), "closer_than_input": CloserThanInput(), "edit_success": CloserThanInput()}
    result = evaluate(part_way(source), source, metrics, name="benchmark", intervals=IntervalSettings(resamples=20))
    found = probes(result)
    assert {probe.name for probe in found if not probe.within} == set(SETS)
    assert {probe.pairs for probe in found if not probe.within} == {2}
    page = render_report(replace(report, results=[result]))
    section = page.split("<h2>Probe by probe</h2>")[1].split("</section>")[0]
    names = re.findall(r"<td>([a-z -]+)</td>", section)
    assert names == [probe.name for probe in found]
    assert section.count('<tr class="group">') == len(SETS)
    error = result.probes["counting"]["error"].ours.estimate
    assert f"{error:.1f}</span>" in section.split("<td>counting</td>")[1].split("</tr>")[0]
    assert "Probe by probe" not in render_report(report)


def test_each_kind_shows_a_random_the_best_and_the_worst_edit(page: str, scene_result: EvaluationResult) -> None:
    assert {name: len(examples) for name, examples in scene_result.by_kind.items()} == dict.fromkeys(
        ("random", "best", "worst"), 3
    )
    assert page.count('<h3 class="kindname">') == 3
    assert page.count('<p class="role ') == 9


def test_amounts_of_change_are_shown_by_kind(
    page: str, scene_result: EvaluationResult, photo_result: EvaluationResult
) -> None:
    """The editor goes a twentieth of the way for "replace", and the other way for "remove"."""
    assert "Too little, too much" in page
    assert page.count('class="amounts"') == sum(len(result.kinds) + 1 for result in (scene_result, photo_result))
    assert '<span class="worse">0.05</span>' in page


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_reads_well_on_a_phone_and_on_a_screen(page: str, scheme: str, tmp_path: Path) -> None:
    for found in seen_in_a_browser(page, scheme, tmp_path):
        assert found["images"] == PICTURES
        assert found["height"] > 1000
