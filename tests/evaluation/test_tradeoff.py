"""The trade-off engine: the figures of editing one picture at a time, with everything shared that can be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from factories import IP2P, MGIE, WORLD, seeing, tiny_module
from processes import on_ranks

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.request import EditResult
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.editors.truth import Truth
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.evaluation.rows import tensors_of
from ip2p_lightning.evaluation.sweeps import EditorSweep, GuidanceSweep
from ip2p_lightning.evaluation.tradeoff import TradeoffMeasurement, tradeoff
from ip2p_lightning.evaluation.tradeoff_result import Tradeoff
from ip2p_lightning.metrics import L1, EditMetric
from ip2p_lightning.metrics.encoders import Interpolated, OpenClipEncoder
from ip2p_lightning.metrics.similarity import DirectionSimilarity, InputSimilarity
from ip2p_lightning.metrics.strength import ChangeFromInput
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.world.tokenizer import world_tokenizer

pytestmark = pytest.mark.numeric

PAIRS = WorldSource(5, 16)
TEXT_SCALES, IMAGE_SCALES = (1.0, 4.0), (1.0, 1.5)
FEW = IntervalSettings(resamples=50)


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    """A CLIP with random weights."""
    torch.manual_seed(0)
    dual = DualEncoder(
        world_tokenizer(), 16, image_size=16, patch_size=8, width=16, layers=1, head_width=8, text_width=16,
        text_layers=1, text_heads=2, context_length=24,
    )  # fmt: skip

    def tokenize(texts: list[str]) -> torch.Tensor:
        options = {"padding": "max_length", "truncation": True, "max_length": 24, "return_tensors": "pt"}
        return dual.tokenizer(texts, **options).input_ids

    return OpenClipEncoder(dual.clip, tokenize, Interpolated(16, [0.5] * 3, [0.5] * 3), "random")


@pytest.fixture
def metrics(encoder: OpenClipEncoder) -> dict[str, EditMetric]:
    return {
        "kept": InputSimilarity(encoder),
        "direction": DirectionSimilarity(encoder),
        "l1": L1(),
        "change": ChangeFromInput(),
    }


def run(sweeps: list[Any], metrics: dict[str, EditMetric], **options: Any) -> Tradeoff:
    options = {"x": "direction", "y": "kept", "batch_size": 2, "intervals": FEW} | options
    return tradeoff(sweeps, PAIRS, metrics, **options)


def test_batches_that_another_process_measures_have_the_same_rows(tmp_path: Path) -> None:
    options: dict[str, Any] = {"x": "change", "y": "l1", "batch_size": 2, "seeds": [1, 2]}

    def measurement(**more: Any) -> TradeoffMeasurement:
        sweeps = [EditorSweep("truth", Truth), EditorSweep("copying", CopyInput)]
        metrics = {"l1": L1(), "change": ChangeFromInput()}
        return TradeoffMeasurement(PAIRS, metrics, sweeps=sweeps, **options, **more)

    def hand_out(parts: Sequence[str]) -> None:
        worker = measurement(journal=tmp_path).worker()
        for part in parts[1:]:  # the first is left to the process that asked
            worker(part)

    alone = measurement().run(FEW)
    shared = measurement(journal=tmp_path).run(FEW, hand_out=hand_out)
    assert shared.rows.equals(alone.rows)


@pytest.mark.parametrize("config", [IP2P, WORLD, MGIE], ids=["euler ancestral", "ddim", "mgie"])
def test_equals_editing_one_picture_at_a_time(config: dict[str, Any], metrics: dict[str, EditMetric]) -> None:
    module = seeing(tiny_module(config)) if config is not WORLD else tiny_module(config).eval()
    editor = TrainedEditor(module, batch_size=1)
    result = run([GuidanceSweep(editor, TEXT_SCALES, IMAGE_SCALES, steps=3, rows=3)], metrics, count=2, seeds=[3])
    assert [dict(place.point) for place in result.places] == [
        {"text_scale": text, "image_scale": image} for text in TEXT_SCALES for image in IMAGE_SCALES
    ]
    for number, place in enumerate(result.places):
        alone = evaluate(
            editor,
            PAIRS,
            metrics,
            count=2,
            batch_size=1,
            seeds=[3],
            sampling=SamplingSettings(**place.point, steps=3),
            intervals=FEW,
        )
        expected = {(row["pair"], row["seed"]): row for row in alone.rows.to_pylist()}
        found = [row for row in result.rows.to_pylist() if row["place"] == number]
        assert len(found) == len(expected) == 2
        for row in found:
            for name in metrics:
                assert row[name] == pytest.approx(expected[row["pair"], row["seed"]][name], abs=1e-4)


def test_originals_texts_and_the_first_step_are_computed_once() -> None:
    module = seeing(tiny_module())
    counts = {"texts": 0, "pictures": 0, "denoised": 0}

    def counting(name: str, of: Any, method: str) -> None:
        original = getattr(of, method)

        def counted(first: Any, *rest: Any, **named: Any) -> Any:
            counts[name] += len(first)
            return original(first, *rest, **named)

        setattr(of, method, counted)

    counting("texts", module.conditioner, "condition")
    counting("pictures", module.autoencoder, "encode_original")
    counting("denoised", module.denoiser, "forward")
    sweep = GuidanceSweep(TrainedEditor(module), [2.0, 3.0], [1.0, 1.5], steps=2)
    run([sweep], {"direction": L1(), "kept": ChangeFromInput()})
    first, second = 3, 2 * (2 + 3)  # at s_I = 1 nothing needs the picture without both
    assert counts == {"texts": 5, "pictures": 5, "denoised": 5 * (first + second)}


def test_baselines_of_one_parameter_and_of_none(metrics: dict[str, EditMetric]) -> None:
    editor = TrainedEditor(seeing(tiny_module()))

    class Partly(Editor):
        """Stands between the input and the truth."""

        reads_truth = True

        def __init__(self, share: float) -> None:
            self.share = share

        def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
            return [EditResult(r.image + self.share * (r.truth - r.image), r) for r in requests]

    result = run(
        [
            GuidanceSweep(editor, [2.0], [1.0, 1.5], steps=2),
            EditorSweep("partly", Partly, "share", [0.25, 0.5, 1.0]),
            EditorSweep("copying", CopyInput),
            EditorSweep("truth", Truth),
        ],
        metrics,
    )
    ours, partly, copying, truth = result.curves.curves
    assert (ours.name, ours.parameter, ours.values) == ("ours, s_T = 2", "image_scale", (1.0, 1.5))
    assert (partly.parameter, partly.values) == ("share", (0.25, 0.5, 1.0))
    assert copying.y[0].estimate == pytest.approx(1.0)
    assert copying.x[0].estimate == 0
    assert partly.y[2].estimate == pytest.approx(truth.y[0].estimate)
    named = run([EditorSweep("partly", Partly, "share", [0.5])], {**metrics, "share": L1()}, count=1)
    assert named.rows.column("parameter_share").to_pylist() == [0.5] == named.points()["parameter_share"].to_pylist()
    change = result.values("change").mean(1)
    assert change[2] < change[3] < change[4] == change[6] > change[5] == 0
    assert result.values("l1").mean(1)[6] == 0


def test_any_two_metrics_and_what_is_written(metrics: dict[str, EditMetric], tmp_path: Path) -> None:
    module = partial(TrainedEditor, seeing(tiny_module()))
    sweep = EditorSweep("batches", module, "batch_size", [1, 2], SamplingSettings(steps=1))
    result = run([sweep], metrics, count=3, provenance={"checkpoint": "x.ckpt"})
    assert result.pairs == 3
    np.testing.assert_allclose(*result.values("l1"), atol=1e-4)  # one of them a batch of two
    assert len(result.against("change", "l1").curves[0].x) == 2
    with pytest.raises(ValueError, match="'ssim' was not measured; choose from kept, direction"):
        result.against("ssim", "l1")
    result.save(tmp_path)
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 6
    header, *lines = (tmp_path / "points.csv").read_text().splitlines()
    assert header.startswith('"sweep","curve","batch_size","direction","direction_low","direction_high","kept"')
    assert len(lines) == 2
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["provenance"]["checkpoint"] == "x.ckpt"
    assert summary["provenance"]["metrics"]["kept"]["encoder"]["weights"] == "random"
    assert summary["curves"][0]["values"] == [1.0, 2.0]


def test_pairs_of_several_sizes(metrics: dict[str, EditMetric]) -> None:
    sizes = iter((16, 8, 16, 8, 16))
    sweep = GuidanceSweep(TrainedEditor(seeing(tiny_module())), [2.0], [1.0, 1.5], steps=1)
    result = run([sweep], metrics, batch_size=5, transform=lambda pair: PairTransform(next(sizes)).evaluation()(pair))
    ids = result.rows.column("pair").to_pylist()
    assert ids[:5] == ids[5:]
    assert len(set(ids)) == 5


class Stops(CopyInput):
    """Copying the input, which ends after some batches, as a kill would, or counts them."""

    def __init__(self, batches: int = -1) -> None:
        self.left, self.edited = batches, 0

    def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.edited += len(requests)
        return super().edit_prepared(requests, on_step)


def sweeps(stops: Stops) -> list[Any]:
    ours = GuidanceSweep(TrainedEditor(seeing(tiny_module())), [2.0], [1.0, 1.5], steps=1)
    return [ours, EditorSweep("copying", lambda: stops)]


def test_a_sweep_that_was_stopped_goes_on(metrics: dict[str, EditMetric], tmp_path: Path) -> None:
    given: dict[str, Any] = {"batch_size": 2, "seeds": [0, 1], "show": 2}
    whole = run(sweeps(Stops()), metrics, **given)
    with pytest.raises(KeyboardInterrupt):
        run(sweeps(Stops(3)), metrics, **given, journal=tmp_path)  # in the middle of the second of three batches
    done: list[int] = []
    rest = Stops()
    result = run(sweeps(rest), metrics, **given, journal=tmp_path, on_progress=done.append)
    assert rest.edited == 2 * 3
    assert done == [2 * 2 * 3, *[2] * 6, *[1] * 6]
    assert result.rows.equals(whole.rows)
    assert len(result.examples) == 2
    for one, other in zip(result.examples, whole.examples, strict=True):
        assert [p.tobytes() for p in one.edited] == [p.tobytes() for p in other.edited]
        assert one.edited[2].tobytes() == one.original.tobytes() != one.edited[0].tobytes()
    with pytest.raises(ValueError, match=r"another sweeps; give another output"):
        run(sweeps(rest)[:1], metrics, **given, journal=tmp_path)


def test_two_processes_give_the_values_of_one(metrics: dict[str, EditMetric], tmp_path: Path) -> None:
    def work(folder: Path | None = None) -> Tradeoff:
        return run(sweeps(Stops()), metrics, batch_size=1, show=1, journal=folder)

    alone = work()
    for shared in on_ranks(2, lambda: work(tmp_path)):
        assert shared.rows.equals(alone.rows)
        assert shared.provenance["processes"] == 2
        assert shared.examples[0].edited[1].tobytes() == alone.examples[0].edited[1].tobytes()
    assert list(tmp_path.glob("*.rows.json"))


def test_what_cannot_be_compared_is_refused(metrics: dict[str, EditMetric]) -> None:
    copying = EditorSweep("copying", CopyInput)
    with pytest.raises(ValueError, match="each a name of its own"):
        run([copying, copying], metrics)
    with pytest.raises(ValueError, match="the axis 'lpips' is no metric; choose from kept, direction"):
        run([copying], metrics, x="lpips")
    with pytest.raises(ValueError, match=r"seeds=\[\]: give at least one"):
        run([copying], metrics, seeds=[])

    class Halves(CopyInput):
        def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
            return [replace(r, image=r.image[..., ::2, ::2]) for r in super().edit_prepared(requests)]

    with pytest.raises(ValueError, match=r"8.*16|16.*8"):
        run([EditorSweep("halves", Halves)], metrics)
    with pytest.raises(ValueError, match=r"CLIP direction.*caption.*missing=gap"):
        run([copying], metrics, transform=lambda pair: replace(tensors_of(pair, None), edited_caption=""))
    with pytest.raises(ValueError, match="count=6 but there are 5 pairs"):
        run([copying], metrics, count=6)
    with pytest.raises(ValueError, match=r"strength=\[0.5, 0.5\]: give at least one value, and none of them twice"):
        EditorSweep("SDEdit", CopyInput, "strength", [0.5, 0.5])
    with pytest.raises(ValueError, match=r"image_scales=\[\]"):
        GuidanceSweep(TrainedEditor(tiny_module()), [1.0], [])
