"""An evaluation's rows do not depend on batching, its baseline is the input itself, and its errors name the remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.request import Captions, EditRequest
from ip2p_lightning.editors.truth import Truth
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.evaluate import ExampleSelection
from ip2p_lightning.evaluation.figures import column_values
from ip2p_lightning.metrics import EditMetric
from ip2p_lightning.report.report import Report, render_report
from ip2p_lightning.report.tables import metrics_table


class Listed(list[EditPair]):
    """A list of pairs as a source."""

    name, licence = "listed", "CC0-1.0"

    def fingerprint(self) -> str:
        return ",".join(pair.id for pair in self)


def test_rows_do_not_depend_on_the_batch_size(scenes: WorldSource, part_way: Any, metrics: Any) -> None:
    editor = part_way(scenes)
    single = evaluate(editor, scenes, metrics(), batch_size=1, seeds=[3, 4])
    seven = evaluate(editor, scenes, metrics(), batch_size=7, seeds=[3, 4])
    order = [("pair", "ascending"), ("seed", "ascending")]
    one, other = single.rows.sort_by(order), seven.rows.sort_by(order)
    for name in one.column_names:
        if one.schema.field(name).type == "double":
            np.testing.assert_allclose(column_values(one, name), column_values(other, name), rtol=1e-5)
        else:
            assert one.column(name) == other.column(name), name
    assert [example.pair for example in single.examples] == [example.pair for example in seven.examples]


def test_a_seed_changes_the_edit_and_not_the_baseline(scenes: WorldSource, part_way: Any, metrics: Any) -> None:
    result = evaluate(part_way(scenes), scenes, metrics(), seeds=[0, 1], count=5)
    assert result.rows.num_rows == 10
    assert result.pairs == 5
    for pair in result.rows.group_by("pair").aggregate([("error", "list"), ("copying_error", "list")]).to_pylist():
        assert len(set(pair["error_list"])) == 2
        assert len(set(pair["copying_error_list"])) == 1
    assert result.figures["error"].ours.groups == 5  # two edits of a pair are one draw


def test_perfect_editor_and_copying_editor(scenes: WorldSource, part_way: Any, metrics: Any) -> None:
    perfect = evaluate(part_way(scenes, 1.0, 0.0), scenes, metrics()).figures
    assert perfect["error"].ours.estimate == pytest.approx(0, abs=1e-4)
    assert perfect["error"].verdict == "better"
    assert perfect["closer_than_input"].ours.estimate == 1
    copier = evaluate(CopyInput(), scenes, metrics()).figures
    assert copier["error"].difference is not None
    assert copier["error"].difference.estimate == pytest.approx(0, abs=1e-4)
    assert copier["relative"].ours.estimate == pytest.approx(1)
    assert copier["copy_rate"].ours.estimate == 1
    assert copier["error"].verdict == "undecided"


def test_examples_are_drawn_before_editing_and_worst_stand_worst(scene_result: EvaluationResult) -> None:
    assert len(scene_result.examples) == 8
    assert len({example.pair for example in scene_result.examples}) == 8
    gains = [example.values["error"] - example.values["copying_error"] for example in scene_result.worst]
    assert gains == sorted(gains, reverse=True)
    assert len({example.kind for example in scene_result.worst}) == len(scene_result.worst) == 4
    rows = scene_result.rows
    assert gains[0] == pytest.approx(np.max(column_values(rows, "error") - column_values(rows, "copying_error")))


def test_pairs_of_other_sizes_and_without_masks_mix(part_way: Any, metrics: Any) -> None:
    small, large = WorldSource(3, size=48), WorldSource(3, size=64, seed=1)
    bare = [EditPair(f"bare{i}", large[i].original_image, large[i].edited_image, "edit it") for i in range(3)]
    pairs = [small[0], bare[0], large[0], small[1], bare[1], small[2]]
    source = Listed(pairs)
    result = evaluate(part_way(source), source, metrics(), batch_size=4)
    assert result.rows.column("pair").to_pylist() == [pair.id for pair in pairs]
    changed = np.isnan(column_values(result.rows, "changed"))
    assert changed.tolist() == [False, True, False, False, True, False]
    assert not np.isnan(column_values(result.rows, "error")).any()
    assert set(result.rows.column("kind").to_pylist()) > {"edit"}


def test_provenance_and_progress(scenes: WorldSource, part_way: Callable[..., Any], metrics: Any) -> None:
    done: list[int] = []
    result = evaluate(
        part_way(scenes),
        scenes,
        metrics(),
        seeds=[5],
        batch_size=16,
        provenance={"checkpoint": "last.ckpt"},
        on_progress=done.append,
    )
    assert done == [16, 16, 8]
    assert result.provenance["checkpoint"] == "last.ckpt"
    assert result.provenance["seeds"] == [5]
    assert result.provenance["data"]["fingerprint"] == scenes.fingerprint()


def test_nothing_is_kept_when_nothing_is_asked_for(scenes: WorldSource, part_way: Any, metrics: Any) -> None:
    result = evaluate(part_way(scenes), scenes, metrics(), kept=ExampleSelection(examples=0, worst=0))
    assert not result.examples
    assert not result.worst


def test_editors_get_what_they_may_need(scenes: WorldSource, metrics: Any) -> None:
    asked: list[EditRequest] = []

    class Asks(CopyInput):
        def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
            asked.extend(requests)
            return super().edit_prepared(requests, on_step)

    evaluate(Asks(), scenes, metrics(), count=3, batch_size=3, sampling=SamplingSettings(steps=2))
    chosen = {scenes[index].id: scenes[index] for index in range(len(scenes))}
    for request in asked:
        pair = chosen[request.id]
        assert request.captions == Captions(pair.original_caption, pair.edited_caption)
        assert request.sampling.steps == 2
        assert request.truth is None  # which `Truth` alone is given
    assert len(asked) == 3
    truth = evaluate(Truth(), scenes, metrics(), count=3)
    assert truth.figures["error"].ours.estimate == 0
    assert truth.figures["closer_than_input"].ours.estimate == 1


def test_metrics_with_a_ceiling_show_the_truth_beside(scenes: WorldSource, part_way: Any) -> None:
    class Redness(EditMetric):
        """How red a picture is: true pictures have a value of their own."""

        label, higher_is_better, ceiling = "redness", None, True

        def measure(self, images: Any, pairs: Any) -> Any:
            return images[:, 0].flatten(1).mean(1)

    result = evaluate(part_way(scenes, 1.0, 0.0), scenes, {"red": Redness()}, count=8)
    figure = result.figures["red"]
    assert figure.truth is not None
    assert figure.copying is not None
    assert figure.truth.estimate == pytest.approx(figure.ours.estimate, abs=1e-4)
    assert figure.truth.estimate != pytest.approx(figure.copying.estimate, abs=1e-4)
    assert result.summary()["figures"]["red"]["truth"]["values"] == 8
    assert metrics_table(result).columns[-1].header == "truth"
    assert "<small>truth " in render_report(Report("title", "lede", [result]))


def test_edits_of_another_size_and_ids_that_are_shared(scenes: WorldSource, metrics: Any) -> None:
    class Halves(CopyInput):
        def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
            return [replace(r, image=r.image[..., ::2, ::2]) for r in super().edit_prepared(requests)]

    with pytest.raises(ValueError, match="resize the edited images"):
        evaluate(Halves(), scenes, metrics(), count=2)
    twice = Listed([scenes[0], scenes[1], scenes[0]])
    with pytest.raises(ValueError, match=f"two pairs have the id '{scenes[0].id}'"):
        evaluate(CopyInput(), twice, metrics())


def test_wrong_arguments_are_named(scenes: WorldSource, part_way: Any, metrics: Any) -> None:
    editor = part_way(scenes)
    with pytest.raises(ValueError, match="count=41 but there are 40 pairs"):
        evaluate(editor, scenes, metrics(), count=41)
    with pytest.raises(ValueError, match="no metrics"):
        evaluate(editor, scenes, {})
    with pytest.raises(ValueError, match="seeds"):
        evaluate(editor, scenes, metrics(), seeds=[1, 1])
    with pytest.raises(ValueError, match="NaN"):
        evaluate(part_way(scenes, float("nan")), scenes, metrics())
